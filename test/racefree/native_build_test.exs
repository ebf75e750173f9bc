defmodule Racefree.NativeBuildTest do
  @moduledoc "What the build of a library takes for its sources is what cargo takes."

  use ExUnit.Case, async: true

  alias Racefree.NativeBuild

  @root Path.expand("../..", __DIR__)

  @tag :cargo
  test "watches every crate of the workspace that is in a library" do
    arguments =
      ~w(tree --locked --offline --edges normal,build --prefix none --format {p} --package)

    for crate <- [:racefree_nif] do
      assert {tree, 0} = System.cmd("cargo", arguments ++ [to_string(crate)], cd: @root)

      folders =
        for [_, folder] <- Regex.scan(~r/^racefree_\S+ v\S+ \((.*?)\)/m, tree),
            do: Path.relative_to(folder, @root)

      assert "native/#{crate}" in folders
      watched = NativeBuild.sources(crate)

      assert Enum.reject(folders, fn folder ->
               Enum.any?(watched, &(folder == &1 or String.starts_with?(folder, &1 <> "/")))
             end) == []
    end
  end
end
