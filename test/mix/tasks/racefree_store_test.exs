defmodule Mix.Tasks.Racefree.StoreTest do
  use ExUnit.Case, async: false

  alias Mix.Tasks.Racefree.Store, as: Task
  alias Racefree.{Log, Store}

  @moduletag :tmp_dir

  setup %{tmp_dir: tmp_dir} do
    shell = Mix.shell()
    Mix.shell(Mix.Shell.Process)
    on_exit(fn -> Mix.shell(shell) end)
    dir = Path.join(tmp_dir, "store")
    owner = start_supervised!({Store, name: __MODULE__, dir: dir}, restart: :temporary)
    {:ok, log} = Store.log(__MODULE__, {:log, 1})
    :ok = Store.transact(__MODULE__, 7, [{log, ["a", "b", "c"]}])
    :ok = Log.trim(log, {7, 0})
    {:ok, dir: dir, owner: owner, log: log}
  end

  defp told do
    receive do
      {:mix_shell, _kind, [text]} -> [text | told()]
    after
      0 -> []
    end
    |> List.wrap()
  end

  defp status(arguments), do: catch_exit(Task.run(arguments))

  test "inspect tells of a store that runs, and changes nothing", %{dir: dir, owner: owner} do
    before = File.ls!(dir)
    Task.run(["inspect", "--keys", dir])
    text = Enum.join(told(), "\n")
    assert text =~ "last transaction    7"
    assert text =~ "not clean"
    assert text =~ "{:log, 1}: 2 records, the last at {7, 2}, trimmed up to {7, 0}"
    assert File.ls!(dir) == before
    GenServer.stop(owner)
    Task.run(["inspect", dir])
    assert Enum.join(told(), "\n") =~ "clean: everything is on disk"
  end

  test "verify finds a flipped bit", %{dir: dir, owner: owner} do
    Task.run(["verify", dir])
    assert Enum.join(told()) =~ "all is well"
    GenServer.stop(owner)
    [wal | _] = dir |> File.ls!() |> Enum.filter(&String.ends_with?(&1, ".wal")) |> Enum.sort()
    path = Path.join(dir, wal)
    bytes = File.read!(path)
    {at, _} = :binary.match(bytes, "b")
    <<before::binary-size(at), _, rest::binary>> = bytes
    File.write!(path, [before, "B", rest])
    assert status(["verify", dir]) == {:shutdown, 1}
    assert Enum.join(told()) =~ ~r/damaged: #{wal} at byte \d+ \(its checksum does not fit\)/
  end

  test "salvage copies what is good of a damaged store", %{
    dir: dir,
    owner: owner,
    tmp_dir: tmp_dir
  } do
    GenServer.stop(owner)
    [wal | _] = dir |> File.ls!() |> Enum.filter(&String.ends_with?(&1, ".wal")) |> Enum.sort()
    path = Path.join(dir, wal)
    bytes = File.read!(path)
    {at, _} = :binary.match(bytes, "b")
    <<before::binary-size(at), _, rest::binary>> = bytes
    File.write!(path, [before, "B", rest])
    Process.flag(:trap_exit, true)

    assert {:error, {:corrupt, ^wal, _at, :checksum}} =
             Store.start_link(name: __MODULE__, dir: dir)

    to = Path.join(tmp_dir, "salvaged")

    assert status(["salvage", dir, to]) == {:shutdown, 1}
    text = Enum.join(told(), "\n")
    assert text =~ ~r/#{wal} is damaged at byte \d+: its checksum does not fit/
    assert text =~ "lost: every transaction after 0"
    assert {:ok, owner} = Store.start_link(name: __MODULE__, dir: to)
    assert {:ok, _keys} = Store.keys(__MODULE__)
    GenServer.stop(owner)
    assert status(["salvage", dir, to]) == {:shutdown, 3}
  end

  test "what cannot be done is said, with its status", %{tmp_dir: tmp_dir} do
    assert status(["inspect"]) == {:shutdown, 2}
    assert status(["inspect", "--all", tmp_dir]) == {:shutdown, 2}
    assert status(["inspect", Path.join(tmp_dir, "none")]) == {:shutdown, 3}
    File.mkdir_p!(Path.join(tmp_dir, "empty"))
    assert status(["verify", Path.join(tmp_dir, "empty")]) == {:shutdown, 3}
    assert Enum.join(told()) =~ "holds no store"
  end
end
