defmodule Mix.Tasks.Compile.LintRacesTest do
  @moduledoc "The Mix compiler `:lint_races` in real projects."

  use Racefree.MixProjectCase, async: true

  if not File.exists?(Racefree.MixProjectCase.linter()),
    do: @moduletag(skip: "the linter is not built")

  @racy """
  defmodule Racy do
    def ask(name), do: GenServer.call(GenServer.whereis(name), :ask)
  end
  """

  @repaired """
  defmodule Racy do
    def ask(_name), do: nil
  end
  """

  @compilers "[compilers: Mix.compilers() ++ [:lint_races]]"
  @task "Mix.Task.run(\"compile.lint_races\")"
  @stored "Mix.Tasks.Compile.LintRaces.diagnostics()"
  @without_compiling ["--no-start", "--no-compile"]

  setup_all do
    folder = new_folder!()

    write!(folder, %{"mix.exs" => linted_project(project: @compilers), "lib/racy.ex" => @repaired})

    mix!(folder, ["compile"])
    {:ok, host: folder}
  end

  setup %{host: host} do
    for name <- File.ls!(host),
        name not in ["mix.exs", "_build"],
        do: File.rm_rf!(Path.join(host, name))

    write!(host, %{"lib/racy.ex" => @racy})
    # Racefree stays compiled, the project does not.
    File.rm_rf!(Path.join(host, "_build/dev/lib/host"))
    :ok
  end

  test "reports findings as warnings, with place, span and the whole story", %{host: host} do
    output = mix!(host, ["compile"])

    assert output =~
             ~r/^warning: GenServer\.call gets nil .* \[nil_pid_call\]\n  lib\/racy\.ex:2:32\n/m

    assert output =~ "2. caller: GenServer.whereis looks the process up (lib/racy.ex:2)"

    assert [diagnostic] = eval!(host, "show.(#{@stored})", [], @without_compiling)
    assert %{severity: :warning, compiler_name: "lint_races"} = diagnostic
    assert diagnostic.file == Path.join(host, "lib/racy.ex")

    # Elixir 1.14 has ranges, with columns from 0; newer ones a place and a span, with columns from 1.
    case diagnostic do
      %{span: span} -> assert {diagnostic.position, span} == {{2, 32}, {2, 36}}
      %{position: position} -> assert position == {2, 31, 2, 35}
    end

    assert diagnostic.message =~ "1. other process: the process looked for ends"
    assert diagnostic.message =~ "harm: "
    assert diagnostic.message =~ "more: mix lint.races explain nil_pid_call"

    assert %{
             "rule" => "nil_pid_call",
             "tier" => "certain",
             "fingerprint" => _,
             "trace" => [_ | _]
           } = diagnostic.details
  end

  test "finds what mix lint.races finds", %{host: host} do
    for file <- Path.wildcard(Path.join(root(), "examples/shape_service/lib/**/*.ex")) do
      write!(host, %{
        Path.relative_to(file, Path.join(root(), "examples/shape_service")) => File.read!(file)
      })
    end

    assert {:ok, diagnostics} = eval!(host, "show.(#{@task})", [], @without_compiling)
    {1, output, _} = run(host, "mix", ["lint.races", "--format", "oneline"])

    found =
      for [_, place, rule] <- Regex.scan(~r/^(\S+:\d+):\d+: \w+\[(\w+)\]/m, output),
          do: "#{place} #{rule}"

    told =
      for %{file: file, position: position, details: details} <- diagnostics,
          do: "#{Path.relative_to(file, host)}:#{elem(position, 0)} #{details["rule"]}"

    assert length(found) > 10
    assert told == found
  end

  test "reads again only when something has changed, and keeps what it knows", %{host: host} do
    assert {:ok, [_] = diagnostics} = eval!(host, "show.(#{@task})", [], @without_compiling)
    assert {:noop, ^diagnostics} = eval!(host, "show.(#{@task})", [], @without_compiling)
    assert ^diagnostics = eval!(host, "show.(#{@stored})", [], @without_compiling)

    assert {:ok, ^diagnostics} =
             eval!(
               host,
               "show.(Mix.Task.run(\"compile.lint_races\", [\"--force\"]))",
               [],
               @without_compiling
             )

    # Of the same length, within the same second.
    write!(host, %{"lib/racy.ex" => String.replace(@racy, "whereis", "no_such")})
    assert {:ok, []} = eval!(host, "show.(#{@task})", [], @without_compiling)
    write!(host, %{"lib/racy.ex" => @racy})
    assert {:ok, ^diagnostics} = eval!(host, "show.(#{@task})", [], @without_compiling)

    for {path, text} <- [
          {"lib/deep/er/new.ex", "defmodule New do\nend\n"},
          {"config/config.exs", "import Config\n"},
          {".gitignore", "/other\n"},
          {"racefree.toml", "[check]\nfail_on = \"likely\"\n"}
        ] do
      write!(host, %{path => text})
      answers = for _ <- 1..2, do: eval!(host, "show.(#{@task})", [], @without_compiling)
      assert {path, answers} == {path, [ok: diagnostics, noop: diagnostics]}
    end

    for path <-
          ~w(deps/other/lib/other.ex node_modules/a.ex _build/a.ex .elixir_ls/a.ex README.md) do
      write!(host, %{path => "not read"})
      answer = eval!(host, "show.(#{@task})", [], @without_compiling)
      assert {path, answer} == {path, {:noop, diagnostics}}
    end
  end

  test "reads again when the baseline has changed", %{host: host} do
    write!(host, %{"racefree.toml" => "[check]\nbaseline = \"ci/known.json\"\n"})
    assert {:error, [_]} = eval!(host, "show.(#{@task})", [], @without_compiling)
    File.mkdir_p!(Path.join(host, "ci"))
    assert {0, _, _} = run(host, "mix", ["lint.races", "baseline"])
    assert {:ok, []} = eval!(host, "show.(#{@task})", [], @without_compiling)
    assert {:noop, []} = eval!(host, "show.(#{@task})", [], @without_compiling)

    known = Path.join(host, "ci/known.json")

    File.write!(
      known,
      String.replace(File.read!(known), ~r/[0-9a-f]{32}/, String.duplicate("0", 32))
    )

    assert {:ok, [_ | _]} = eval!(host, "show.(#{@task})", [], @without_compiling)
  end

  test "shows what it has found again when asked", %{host: host} do
    assert mix!(host, ["compile"]) =~ "[nil_pid_call]"
    refute mix!(host, ["compile"]) =~ "[nil_pid_call]"
    assert mix!(host, ["compile", "--all-warnings"]) =~ "[nil_pid_call]"
  end

  test "fails with --warnings-as-errors, as long as there are findings", %{host: host} do
    for _ <- 1..2 do
      assert {output, 1} = mix(host, ["compile", "--warnings-as-errors"])
      assert output =~ "[nil_pid_call]"
    end

    write!(host, %{"lib/racy.ex" => @repaired})
    mix!(host, ["compile", "--warnings-as-errors"])
  end

  test "tells of a file that it cannot read, and does not fail for it", %{host: host} do
    write!(host, %{"lib/racy.ex" => @repaired, "priv/broken.exs" => "def x(, do"})
    mix!(host, ["compile", "--warnings-as-errors"])

    assert [%{severity: :information, file: file}] =
             eval!(host, "show.(#{@stored})", [], @without_compiling)

    assert file == Path.join(host, "priv/broken.exs")
  end

  test "gives a mistake in racefree.toml as an error", %{host: host} do
    write!(host, %{"racefree.toml" => "[check]\nteir = \"audit\"\n"})
    assert {output, 1} = mix(host, ["compile"])
    assert output =~ "teir"

    assert {:error, [%{severity: :error, message: message}]} =
             eval!(host, "show.(#{@task})", [], @without_compiling)

    assert message =~ "racefree.toml"
  end

  test "forgets what it knows with mix clean", %{host: host} do
    mix!(host, ["compile"])
    mix!(host, ["clean"])
    assert mix!(host, ["compile"]) =~ "[nil_pid_call]"
  end

  test "does nothing in production", %{folder: folder} do
    write!(folder, %{
      "mix.exs" =>
        String.replace(
          linted_project(project: @compilers),
          "only: [:dev, :test], runtime: false",
          "only: [:prod]"
        ),
      "lib/racy.ex" => @racy
    })

    refute mix!(folder, ["compile"], [{"MIX_ENV", "prod"}]) =~ "[nil_pid_call]"
    refute File.exists?(Path.join(folder, "_build/prod/lib/racefree/lint"))
  end

  test "in an umbrella reads all applications and reports those of each", %{folder: folder} do
    application = fn name, deps ->
      """
      defmodule #{Macro.camelize(name)}.MixProject do
        use Mix.Project

        def project do
          [
            app: :#{name},
            version: "1.0.0",
            build_path: "../../_build",
            deps_path: "../../deps",
            lockfile: "../../mix.lock",
            compilers: Mix.compilers() ++ [:lint_races],
            deps: #{inspect(deps ++ [{:racefree, path: root(), only: [:dev, :test], runtime: false}])}
          ]
        end
      end
      """
    end

    write!(folder, %{
      "mix.exs" => """
      defmodule Umbrella.MixProject do
        use Mix.Project
        def project, do: [apps_path: "apps", deps: []]
      end
      """,
      "apps/one/mix.exs" => application.("one", []),
      "apps/two/mix.exs" => application.("two", one: [in_umbrella: true]),
      "apps/one/lib/one.ex" =>
        "defmodule One do\n  def find(name), do: GenServer.whereis(name)\nend\n",
      "apps/two/lib/two.ex" =>
        "defmodule Two do\n  def ask(name), do: GenServer.call(One.find(name), :ask)\nend\n"
    })

    output = mix!(folder, ["compile"])
    assert [_] = Regex.scan(~r/\[nil_pid_call\]/, output)
    two = Path.join(folder, "apps/two")
    assert [%{file: file}] = eval!(two, "show.(#{@stored})", [], @without_compiling)
    assert file == Path.join(two, "lib/two.ex")
    assert eval!(Path.join(folder, "apps/one"), "show.(#{@stored})", [], @without_compiling) == []
  end
end
