defmodule Racefree.DependencyTest do
  @moduledoc "A project that depends on Racefree by path, with the real library: in mix, and in a release."

  use Racefree.MixProjectCase, async: true

  setup %{folder: folder} do
    write!(folder, %{
      "mix.exs" => """
      defmodule Host.MixProject do
        use Mix.Project

        def project do
          [app: :host, version: "1.0.0", deps: [{:racefree, path: #{inspect(root())}}]]
        end

        def application, do: [extra_applications: [:logger], mod: {Host, []}]
      end
      """,
      "lib/host.ex" => """
      defmodule Host do
        use Application

        def native, do: Racefree.Native.version()

        # A release that starts has loaded all modules. This one then says so and stops.
        def start(_type, _arguments) do
          children = if System.get_env("HOST_SPEAKS"), do: [{Task, &speak/0}], else: []
          Supervisor.start_link(children, strategy: :one_for_one)
        end

        defp speak do
          IO.puts(native())
          System.stop()
        end
      end
      """
    })

    :ok
  end

  test "loads the library in mix", %{folder: folder} do
    mix!(folder, ["compile", "--warnings-as-errors"])
    assert eval!(folder, "show.(Host.native())", [], []) == version()
    assert mix!(folder, ["compile"]) == ""
  end

  test "loads the library in a release, which has no other one of ours", %{folder: folder} do
    mix!(folder, ["release", "--quiet"], [{"MIX_ENV", "prod"}])
    release = Path.join(folder, "_build/prod/rel/host")
    # The sources and the build are not there where a release runs.
    away = Path.join(folder, "elsewhere")
    File.rename!(release, away)
    File.rm_rf!(Path.join(folder, "_build"))

    assert_starts(away)

    assert [library] =
             for(
               path <- Path.wildcard(Path.join(away, "lib/racefree-*/**/*")),
               Path.extname(path) in [".so", ".dll", ".dylib"],
               do: path
             )

    assert Path.basename(library) =~ ~r/^racefree_nif-/
    assert Path.basename(Path.dirname(library)) == "native"
  end

  if not File.exists?(linter()), do: @tag(skip: "the linter is not built")

  test "leaves the linter out of a release, even if it was used there", %{folder: folder} do
    production = [{"MIX_ENV", "prod"}]
    assert mix!(folder, ["lint.races", "rules"], production) =~ "nil_pid_call"

    assert [_] =
             Path.wildcard(Path.join(folder, "_build/prod/lib/racefree/lint/racefree_lint_nif-*"))

    mix!(folder, ["release", "--quiet"], production)
    release = Path.join(folder, "_build/prod/rel/host")
    assert [_] = Path.wildcard(Path.join(release, "lib/racefree-*/priv/native/racefree_nif-*"))
    assert Path.wildcard(Path.join(release, "**/*lint_nif*")) == []
    # Its modules are there.
    assert_starts(release)
  end

  # In a release that starts, all modules are loaded first.
  defp assert_starts(release) do
    assert {output, 0} =
             System.cmd(Path.join(release, "bin/host"), ["start"],
               env: [{"HOST_SPEAKS", "1"}, {"RELEASE_DISTRIBUTION", "none"}],
               stderr_to_stdout: true
             )

    assert version() in String.split(output, "\n")
    refute output =~ "on_load"
    refute output =~ "[error]"
  end

  defp version, do: to_string(Application.spec(:racefree, :vsn))
end
