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

        def application, do: [extra_applications: [:logger]]
      end
      """,
      "lib/host.ex" => """
      defmodule Host do
        def native, do: Racefree.Native.version()
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

    assert {output, 0} =
             System.cmd(Path.join(away, "bin/host"), ["eval", "IO.puts(Host.native())"],
               stderr_to_stdout: true
             )

    assert output == version() <> "\n"

    assert [library] =
             for(
               path <- Path.wildcard(Path.join(away, "lib/racefree-*/**/*")),
               Path.extname(path) in [".so", ".dll", ".dylib"],
               do: path
             )

    assert Path.basename(library) =~ ~r/^racefree_nif-/
    assert Path.basename(Path.dirname(library)) == "native"
  end

  defp version, do: to_string(Application.spec(:racefree, :vsn))
end
