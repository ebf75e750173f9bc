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

    assert Enum.join(told()) =~
             ~r/damaged: #{wal} is damaged at byte \d+: its checksum does not fit/
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

  test "salvage of a store that is well loses nothing", %{
    dir: dir,
    owner: owner,
    tmp_dir: tmp_dir
  } do
    GenServer.stop(owner)
    to = Path.join(tmp_dir, "salvaged")
    assert {:ok, report} = Store.salvage(dir, to)
    assert %{lsn: 7, logs: 1, records: 2} = report
    assert {report.damage, report.lost, report.lost_packs, report.lost_after} == {[], [], [], nil}
    Task.run(["salvage", dir, Path.join(tmp_dir, "again")])
    assert Enum.join(told()) =~ "1 logs with 2 records, at transaction 7"
  end

  test "a pack file that cannot be opened is lost in the middle, and damage in one is found", %{
    tmp_dir: tmp_dir
  } do
    dir = Path.join(tmp_dir, "packed")

    {:ok, owner} =
      Store.start_link(
        name: :"#{__MODULE__}.Packed",
        dir: dir,
        wal_bytes_max: 65_536,
        transaction_bytes_max: 65_536
      )

    {:ok, log} = Store.log(:"#{__MODULE__}.Packed", :log)
    # Too few for packs to be merged, which would leave useless ones behind.
    for lsn <- 1..6, do: write(log, lsn)
    pack = await_pack(log.store, dir)
    GenServer.stop(owner)
    whole = File.read!(pack)
    <<before::binary-size(1_000), byte, rest::binary>> = whole
    File.write!(pack, [before, Bitwise.bxor(byte, 1), rest])
    assert status(["verify", dir]) == {:shutdown, 1}
    assert Enum.join(told(), "\n") =~ ~r/#{Path.basename(pack)}: byte \d+: its checksum/
    assert status(["salvage", dir, Path.join(tmp_dir, "one")]) == {:shutdown, 1}
    assert Enum.join(told(), "\n") =~ "lost: of :log what lies above {"

    File.rm!(pack)
    assert status(["verify", dir]) == {:shutdown, 1}
    assert Enum.join(told()) =~ "is damaged: #{Path.basename(pack)} is missing"
    assert status(["salvage", dir, Path.join(tmp_dir, "two")]) == {:shutdown, 1}
    text = Enum.join(told(), "\n")
    assert text =~ "#{Path.basename(pack)} is missing"
    assert text =~ ~r/lost: transactions after 0, up to \d+, as far as they were in a file/
    refute text =~ "every transaction after"
  end

  defp write(log, lsn) do
    case Store.transact(log.store, lsn, [{log, [:binary.copy("x", 20_000)]}]) do
      :ok -> :ok
      {:error, {:busy, ref}} -> receive(do: ({^ref, {:ok, _}} -> write(log, lsn)))
    end
  end

  # The manifest names the file only after it stands there.
  defp await_pack(store, dir) do
    case Store.info(store) do
      {:ok, %{pack_files: 0}} -> await_pack(store, dir)
      {:ok, _info} -> dir |> Path.join("*.pack") |> Path.wildcard() |> hd()
    end
  end

  test "files that are missing are damage, and no store is none", %{dir: dir, owner: owner} do
    GenServer.stop(owner)
    File.rm!(Path.join(dir, "MANIFEST"))
    assert status(["verify", dir]) == {:shutdown, 1}
    words = Enum.join(told())
    assert words =~ "is damaged: MANIFEST is missing"
    assert words =~ "salvage cannot help"
    File.rm_rf!(dir)
    File.mkdir!(dir)
    assert status(["verify", dir]) == {:shutdown, 3}
  end

  test "directories can be looked at without Mix, and by the task outside of a project", %{
    dir: dir,
    owner: owner,
    tmp_dir: tmp_dir
  } do
    GenServer.stop(owner)

    without_mix = """
    {:ok, found} = Racefree.Store.inspect_dir(#{inspect(dir)}, count: true)
    [%{key: {:log, 1}, records: 2, last: {7, 2}, trimmed: {7, 0}}] = found.logs
    %{recovery: %{lsn: 7, clean: true}, keys: [{:log, 1}], info: %{logs: 1}} = found
    {:ok, %{problems: []}} = Racefree.Store.verify_dir(#{inspect(dir)})
    {:error, {:missing, "MANIFEST"}} = Racefree.Store.verify_dir(#{inspect(tmp_dir)})
    false = :code.is_loaded(Mix)
    """

    outside_of_a_project = """
    Mix.start()
    nil = Mix.Project.get()
    Mix.Tasks.Racefree.Store.run(["inspect", #{inspect(dir)}])
    """

    ebin = Path.join(Mix.Project.app_path(), "ebin")
    arguments = ["-pa", ebin, "-e", without_mix, "-e", outside_of_a_project]
    assert {text, 0} = System.cmd("elixir", arguments, cd: tmp_dir, stderr_to_stdout: true)
    assert text =~ "last transaction    7"
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
