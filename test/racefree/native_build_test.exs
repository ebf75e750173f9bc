defmodule Racefree.NativeBuildTest do
  @moduledoc "What the build of a library takes for its sources is what cargo takes."

  use Racefree.MixProjectCase, async: true

  alias Racefree.NativeBuild

  @moduletag :cargo

  @crates [:racefree_nif, :racefree_lint_nif]

  for crate <- @crates do
    test "watches every crate of the workspace that is in #{crate}" do
      crate = unquote(crate)
      watched = NativeBuild.sources(crate)
      folders = for folder <- workspace_crates(crate), do: Path.relative_to(folder, root())
      assert "native/#{crate}" in folders
      assert Enum.reject(folders, fn folder -> Enum.any?(watched, &below?(folder, &1)) end) == []
    end
  end

  test "no crate of the linter is in the library of production" do
    for folder <- workspace_crates(:racefree_nif) do
      assert String.starts_with?(folder, Path.join(root(), "native") <> "/")
    end

    refute tree(:racefree_nif) =~ "tree-sitter"
    assert tree(:racefree_lint_nif) =~ "tree-sitter"
  end

  test "the package has all that cargo needs to build either", %{folder: folder} do
    for path <- Mix.Project.config()[:package][:files] do
      target = Path.join(folder, path)
      File.mkdir_p!(Path.dirname(target))
      File.cp_r!(Path.join(root(), path), target)
    end

    for crate <- @crates do
      arguments = ~w(tree --locked --offline --package #{crate} --prefix none)
      assert {output, 0} = System.cmd("cargo", arguments, cd: folder, stderr_to_stdout: true)
      assert output =~ "#{crate} v"
    end
  end

  defp workspace_crates(crate) do
    for [_, folder] <- Regex.scan(~r/^racefree_\S+ v\S+ \((.*?)\)/m, tree(crate)), do: folder
  end

  defp tree(crate) do
    arguments = ~w(tree --locked --offline --edges normal,build --prefix none --package #{crate})
    assert {tree, 0} = System.cmd("cargo", arguments, cd: root())
    tree
  end

  defp below?(path, folder), do: path == folder or String.starts_with?(path, folder <> "/")
end
