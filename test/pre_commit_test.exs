defmodule Racefree.PreCommitTest do
  @moduledoc "The hooks of `.pre-commit-hooks.yaml`, run by pre-commit itself in a repository of their own."

  use ExUnit.Case, async: true

  @root Path.expand("..", __DIR__)
  @linter Path.join(@root, "target/release/racefree")
  @racy """
  defmodule Jobs do
    def pause(name), do: GenServer.call(Process.whereis(name), :pause)
  end
  """

  @moduletag :tmp_dir
  @moduletag :pre_commit
  # bin/test installs pre-commit and builds the linter first.
  if not File.exists?(@linter), do: @moduletag(skip: "the linter is not built")

  setup %{tmp_dir: tmp_dir} do
    git!(tmp_dir, ["init", "-q"])
    File.write!(Path.join(tmp_dir, "jobs.ex"), @racy)
    {:ok, folder: tmp_dir}
  end

  defp git!(folder, arguments) do
    fixed = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false"]
    {output, 0} = System.cmd("git", fixed ++ arguments, cd: folder, stderr_to_stdout: true)
    output
  end

  defp hook(folder, id) do
    # Its own home: the hook's copy of this repository goes there.
    environment = [
      {"PRE_COMMIT_HOME", Path.join(folder, ".pre-commit")},
      {"RACEFREE_LINTER", @linter}
    ]

    System.cmd("pre-commit", ["try-repo", @root, id],
      cd: folder,
      env: environment,
      stderr_to_stdout: true
    )
  end

  test "a race fails the commit, a repaired file passes", %{folder: folder} do
    git!(folder, ["add", "jobs.ex"])
    assert {output, 1} = hook(folder, "racefree")
    assert output =~ "error[nil_pid_call]"
    File.write!(Path.join(folder, "jobs.ex"), "defmodule Jobs do\nend\n")
    git!(folder, ["add", "jobs.ex"])
    assert {_output, 0} = hook(folder, "racefree")
  end

  test "the hook for staged lines leaves older findings alone", %{folder: folder} do
    git!(folder, ["add", "jobs.ex"])
    git!(folder, ["commit", "-qm", "older"])
    File.write!(Path.join(folder, "other.ex"), "defmodule Other do\nend\n")
    git!(folder, ["add", "other.ex"])
    assert {_output, 0} = hook(folder, "racefree-staged")
    File.write!(Path.join(folder, "other.ex"), String.replace(@racy, "Jobs", "Other"))
    git!(folder, ["add", "other.ex"])
    assert {output, 1} = hook(folder, "racefree-staged")
    assert output =~ "other.ex:2"
    refute output =~ "jobs.ex:2"
  end
end
