defmodule Mix.Tasks.Lint.RacesTest do
  @moduledoc "`mix lint.races` in real projects, beside the command `racefree`."

  use Racefree.MixProjectCase, async: true

  if not File.exists?(Racefree.MixProjectCase.linter()),
    do: @moduletag(skip: "the linter is not built")

  @racy """
  defmodule Racy do
    def ask(name), do: GenServer.call(GenServer.whereis(name), {:größe, "→"})
  end
  """

  @harmless """
  defmodule Harmless do
    def double(number), do: 2 * number
  end
  """

  # One project for all tests: each says what is in it, and mix compiles Racefree once.
  setup_all do
    folder = new_folder!()
    write!(folder, %{"mix.exs" => linted_project()})
    mix!(folder, ["deps.compile"])
    assert {_, 0} = mix(folder, ["lint.races", "rules"])
    {:ok, host: folder}
  end

  setup %{host: host} do
    for name <- File.ls!(host),
        name not in ["mix.exs", "_build"],
        do: File.rm_rf!(Path.join(host, name))

    write!(host, %{"lib/racy.ex" => @racy, "lib/harmless.ex" => @harmless})
    # Racefree stays compiled, the project does not.
    File.rm_rf!(Path.join(host, "_build/dev/lib/host"))
    :ok
  end

  for arguments <- [
        [],
        ["lib/harmless.ex"],
        ["--format", "oneline", "lib", "mix.exs"],
        ["--format", "sarif"],
        ["--color", "always"],
        ["--only", "repeated_lookup", "--tier", "audit"],
        ["--help"],
        ["--only", "no_such_rule"],
        ["--no-such-option"],
        ["no/such/folder"],
        ["--diff", "HEAD"]
      ] do
    test "says and ends with what `racefree check #{Enum.join(arguments, " ")}` does", %{
      host: host
    } do
      assert_same(host, unquote(arguments), ["check" | unquote(arguments)])
    end
  end

  for arguments <- [
        ["check", "lib"],
        ["explain", "nil_pid_call"],
        ["explain", "lib/racy.ex:2"],
        ["rules"],
        ["coverage", "--format", "json"]
      ] do
    test "runs the command `#{Enum.join(arguments, " ")}` too", %{host: host} do
      assert_same(host, unquote(arguments), unquote(arguments))
    end
  end

  test "gives the same JSON, up to the time that it took", %{host: host} do
    [ours, theirs] = both(host, ["--format", "json"], ["check", "--format", "json"], [], "")
    assert masked(ours) == masked(theirs)
    assert {1, output, ""} = ours
    assert output =~ ~s("rule":"nil_pid_call")
  end

  test "gives the same bytes whatever the terminal's encoding is", %{host: host} do
    for locale <- ["C", "C.UTF-8"] do
      {1, output, _} = assert_same(host, [], ["check"], [{"LC_ALL", locale}, {"LANG", nil}])
      assert output =~ "größe"
      assert output =~ "│"
    end
  end

  test "takes a text from standard input", %{host: host} do
    arguments = ["--stdin-filename", "lib/racy.ex"]

    for locale <- ["C", "C.UTF-8"],
        text <- [
          @racy,
          @harmless,
          String.replace(@racy, "\n", "\r\n"),
          "# #{String.duplicate("→", 500_000)}\n" <> @racy
        ] do
      assert_same(
        host,
        arguments,
        ["check" | arguments],
        [{"LC_ALL", locale}, {"LANG", nil}],
        text
      )
    end
  end

  test "gives all of a long report to a slow reader", %{host: host} do
    write!(host, %{
      "lib/racy.ex" => for(number <- 1..600, do: String.replace(@racy, "Racy", "Racy#{number}"))
    })

    {1, expected, ""} = run(host, linter(), ["check", "--format", "sarif"])
    # Many times what a pipe holds.
    assert byte_size(expected) > 500_000

    # The reader begins when there is a first byte, so the pipe is full before it reads on.
    script = ~s("$0" lint.races --format sarif | { dd bs=1 count=1 2>/dev/null; cat; } >report)
    assert {_, _, _} = run(host, "sh", ["-c", script, System.find_executable("mix")])
    assert File.read!(Path.join(host, "report")) == expected
  end

  test "is content when the reader goes away", %{host: host} do
    write!(host, %{
      "lib/racy.ex" => for(number <- 1..600, do: String.replace(@racy, "Racy", "Racy#{number}"))
    })

    script =
      ~s({ "$0" lint.races --format sarif; echo $? >status; } | dd bs=1 count=1 2>/dev/null)

    assert {0, "{", messages} = run(host, "sh", ["-c", script, System.find_executable("mix")])
    assert messages == ""
    assert File.read!(Path.join(host, "status")) == "0\n"
  end

  test "works before the project compiles, and when it does not compile", %{host: host} do
    write!(host, %{"lib/broken.ex" => "defmodule Broken do\n  def x(, do: undefined()\nend\n"})
    refute File.exists?(Path.join(host, "_build/dev/lib/host"))
    {1, output, _} = assert_same(host, ["--format", "oneline"], ["check", "--format", "oneline"])
    assert output =~ "error[nil_pid_call]"
  end

  test "survives code that is nested beyond all measure", %{host: host} do
    deep = 200_000

    write!(host, %{
      "lib/parens.ex" => ["x = ", List.duplicate("(", deep), "1", List.duplicate(")", deep)],
      "lib/lists.ex" => ["x = ", List.duplicate("[", deep), List.duplicate("]", deep)],
      "lib/pipes.ex" => ["x = 1", List.duplicate(" |> f()", deep)],
      "lib/blocks.ex" => [
        List.duplicate("if true do\n", 20_000),
        "1\n",
        List.duplicate("end\n", 20_000)
      ]
    })

    assert {[{1, first, ""}, {1, second, ""}], :alive} =
             eval!(
               host,
               """
               :ok = Racefree.Lint.prepare()
               runs = for _ <- 1..2, do: Racefree.Lint.run(["--format", "oneline"])
               show.({runs, :alive})
               """,
               [],
               ["--no-start", "--no-compile"]
             )

    assert first == second
    assert first =~ "lib/racy.ex:2:32: error[nil_pid_call]"
  end

  test "gives memory back, for who stays in the virtual machine", %{host: host} do
    [few, many] =
      eval!(host, """
      :ok = Racefree.Lint.prepare()
      resident = fn ->
        [_, pages | _] = "/proc/self/statm" |> File.read!() |> String.split()
        String.to_integer(pages) * 4096
      end
      path = #{inspect(Path.join(root(), "examples/shape_service"))}
      work = fn times -> for _ <- 1..times, do: {1, _, _} = Racefree.Lint.run(["--threads", "2", path]) end
      work.(20)
      few = resident.()
      work.(60)
      show.([few, resident.()])
      """)

    # A run over this example that keeps what it has read keeps more than a mebibyte.
    assert many - few < 30 * 1024 * 1024
  end

  test "mix help describes the task", %{host: host} do
    help = mix!(host, ["help", "lint.races"])
    assert help =~ "--install-hook"
    assert mix!(host, ["help"]) =~ ~r/mix lint\.races +# Reports races between processes/
  end

  test "refuses to be a language server", %{host: host} do
    assert {3, "", messages} = run(host, "mix", ["lint.races", "lsp"])
    assert messages =~ "racefree lsp"
  end

  describe "in an umbrella" do
    setup %{folder: folder} do
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
              deps: #{inspect(deps)}
            ]
          end
        end
        """
      end

      write!(folder, %{
        "mix.exs" => """
        defmodule Umbrella.MixProject do
          use Mix.Project
          def project, do: [apps_path: "apps", deps: [{:racefree, path: #{inspect(root())}, only: [:dev, :test], runtime: false}]]
        end
        """,
        "apps/one/mix.exs" => application.("one", []),
        "apps/two/mix.exs" => application.("two", one: [in_umbrella: true]),
        "apps/one/lib/one.ex" =>
          "defmodule One do\n  def find(name), do: GenServer.whereis(name)\nend\n",
        "apps/two/lib/two.ex" =>
          "defmodule Two do\n  def ask(name), do: GenServer.call(One.find(name), :ask)\nend\n"
      })

      :ok
    end

    test "reads all applications as one program", %{folder: folder} do
      # Builds the linter, and says so.
      mix!(folder, ["lint.races", "rules"])

      {1, output, ""} =
        assert_same(folder, ["--format", "oneline"], ["check", "--format", "oneline"])

      assert output =~ "apps/two/lib/two.ex:2:32: error[nil_pid_call]"
    end
  end

  describe "--install-hook" do
    setup %{host: host} do
      git!(host, ["init", "--quiet"])
      write!(host, %{".gitignore" => "/_build\n"})
      git!(host, ["add", ".gitignore", "mix.exs", "lib/harmless.ex"])
      git!(host, ["commit", "--quiet", "--message", "Harmless"])
      :ok
    end

    test "stops commits of new races, and lets others pass", %{host: host} do
      assert mix!(host, ["lint.races", "--install-hook"]) =~
               ".git/hooks/pre-commit runs mix lint.races"

      git!(host, ["add", "lib/racy.ex"])
      assert {output, 1} = git(host, ["commit", "--quiet", "--message", "Racy"])
      assert output =~ "error[nil_pid_call]"

      # What counts is what is staged.
      write!(host, %{"lib/racy.ex" => @harmless |> String.replace("Harmless", "Racy")})
      assert {_, 1} = git(host, ["commit", "--quiet", "--message", "Racy"])
      git!(host, ["add", "lib/racy.ex"])
      git!(host, ["commit", "--quiet", "--message", "No longer racy"])
    end

    test "passes options on, and replaces its own hook", %{host: host} do
      mix!(host, ["lint.races", "--install-hook"])
      mix!(host, ["lint.races", "--install-hook", "--only", "repeated_lookup"])
      git!(host, ["add", "lib/racy.ex"])
      git!(host, ["commit", "--quiet", "--message", "Racy in another way"])
    end

    test "leaves the hook of somebody else alone and says what to add", %{host: host} do
      hook = Path.join(host, ".git/hooks/pre-commit")
      File.write!(hook, "#!/bin/sh\nexit 0\n")
      assert {3, "", messages} = run(host, "mix", ["lint.races", "--install-hook"])
      assert messages =~ "mix lint.races --staged || exit 1"
      assert File.read!(hook) == "#!/bin/sh\nexit 0\n"
    end

    test "knows a project below the top of its repository", %{host: host, folder: folder} do
      below = Path.join(folder, "services/it's here")
      File.mkdir_p!(Path.dirname(below))
      # A link would lead git elsewhere.
      File.mkdir_p!(below)

      for name <- ["mix.exs", "lib"],
          do: File.cp_r!(Path.join(host, name), Path.join(below, name))

      git!(folder, ["init", "--quiet"])
      mix!(below, ["lint.races", "--install-hook"])
      git!(folder, ["add", "services/it's here/lib"])
      assert {output, 1} = git(folder, ["commit", "--quiet", "--message", "Racy"])
      assert output =~ "error[nil_pid_call]"
    end

    test "without a repository says so", %{folder: folder} do
      write!(folder, %{"mix.exs" => linted_project()})
      assert {3, _, messages} = run(folder, "mix", ["lint.races", "--install-hook"])
      assert messages =~ "not a git repository"
    end
  end

  defp assert_same(folder, ours, theirs, environment \\ [], input \\ "") do
    [mix, binary] = both(folder, ours, theirs, environment, input)
    assert mix == binary
    mix
  end

  defp both(folder, ours, theirs, environment, input) do
    # No repository around it, whatever the folder of temporary files is in.
    environment = [{"GIT_CEILING_DIRECTORIES", Path.dirname(folder)} | environment]

    [
      run(folder, "mix", ["lint.races" | ours], environment, input),
      run(folder, linter(), theirs, environment, input)
    ]
  end

  defp masked({status, output, messages}) do
    {status, Regex.replace(~r/"elapsed_ms":\d+/, output, "\"elapsed_ms\":0"), messages}
  end

  defp git(folder, arguments) do
    identity = [
      "-c",
      "user.name=Somebody",
      "-c",
      "user.email=somebody@example.org",
      "-c",
      "init.defaultBranch=main"
    ]

    unset = for name <- ~w(MIX_ENV MIX_BUILD_PATH GIT_DIR GIT_INDEX_FILE), do: {name, nil}

    System.cmd("git", identity ++ arguments,
      cd: folder,
      env: [{"CARGO_NET_OFFLINE", "true"} | unset],
      stderr_to_stdout: true
    )
  end

  defp git!(folder, arguments) do
    assert {output, 0} = git(folder, arguments)
    output
  end
end
