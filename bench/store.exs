# The store's rows of the table of bars, seen from Elixir: `mix run bench/store.exs [--smoke] [--dir DIR] [--only ROW]`.
#
# DIR is where the files go, `tmp/bench` if not said; a tmpfs makes nonsense of every row with a sync. `--smoke` runs each row for a moment, to see that it runs. What the core costs
# without the virtual machine is measured by `cargo bench -p racefree_core --bench store`. ROW is the name of one of the functions below. With RACEFREE_BENCH_CUBDB set to a folder with
# the sources of CubDB, that takes part.

Code.require_file("support/measure.exs", __DIR__)

defmodule Racefree.Bench.Store do
  @moduledoc "Each public function measures one row against what it replaces, and gives lines of the table."

  alias Racefree.{Bench.Measure, Log, Store}

  @payload :binary.copy("x", 200)

  def main(arguments) do
    {options, []} =
      OptionParser.parse!(arguments, strict: [smoke: :boolean, dir: :string, only: :string])

    dir = Path.expand(options[:dir] || "tmp/bench")
    File.rm_rf!(dir)
    File.mkdir_p!(dir)
    scale = if options[:smoke], do: &smoke/1, else: &full/1
    load_cubdb()
    Measure.print_title("Racefree.Store, files in #{dir}")

    # Memory first, while the machine has used none. Each row in a process of its own, whose heap holds nothing from the row before.
    rows =
      for row <- [
            &idle_logs/2,
            &append/2,
            &read_from_memory/2,
            &cold_read/2,
            &commit/2,
            &dirty_logs/2,
            &recovery/2
          ],
          options[:only] in [nil, to_string(Function.info(row)[:name])],
          line <- fn -> row.(dir, scale) end |> Task.async() |> Task.await(:infinity),
          do: line

    Measure.print_table(rows)
    File.rm_rf!(dir)
  end

  defp full(name) do
    Map.fetch!(
      %{
        idle: 200_000,
        records: 20_000,
        rounds: 21,
        warm_up: 3,
        reads: 500,
        packed: 16_000,
        commits: 500,
        dirty: 1_000,
        dirty_rounds: 15,
        recovered: 240_000,
        wal_bytes: 64 * 1_048_576,
        recoveries: 5
      },
      name
    )
  end

  defp smoke(name) do
    Map.fetch!(
      %{
        idle: 2_000,
        records: 2_000,
        rounds: 2,
        warm_up: 1,
        reads: 3,
        packed: 2_000,
        commits: 3,
        dirty: 20,
        dirty_rounds: 2,
        recovered: 2_000,
        wal_bytes: 1_048_576,
        recoveries: 2
      },
      name
    )
  end

  ## Memory

  def idle_logs(dir, scale) do
    count = scale.(:idle)
    open(dir, "idle", scale)

    empty = grown(fn -> in_thousands(count, &Enum.each(&1, fn key -> log!(key) end)) end)
    written = empty + grown(fn -> write_each(count) end)
    close()

    {:ok, keeper} = Agent.start(fn -> nil end)

    tables =
      grown(fn ->
        Agent.update(keeper, fn _ -> for(key <- 1..count, do: table_of_one(key)) end, :infinity)
      end)

    Agent.stop(keeper, :normal, :infinity)

    [
      row(
        "#{count} idle logs",
        megabytes(empty),
        "#{each(empty, count)} B each",
        "<= 1 KB each",
        empty <= 1_000 * count
      ),
      row(
        "  with a record of 200 B in each",
        megabytes(written),
        "#{each(written, count)} B each",
        "",
        nil
      ),
      row(
        "  an ETS table with that record each",
        megabytes(tables),
        "#{each(tables, count)} B each",
        "",
        nil
      )
    ]
  end

  defp table_of_one(key) do
    table = :ets.new(:one, [:ordered_set])
    :ets.insert(table, {key, :binary.copy(@payload)})
    table
  end

  # In transactions of 1000 logs, as a router writes.
  defp write_each(count) do
    in_thousands(count, fn [lsn | _] = keys ->
      transact(lsn, for(key <- keys, do: {log!(key), [@payload]}))
      {:ok, _} = Store.await_durable(__MODULE__, lsn, 60_000)
    end)
  end

  # What is measured is what a log costs, not what 200,000 handles to logs cost.
  defp in_thousands(count, run) do
    for keys <- Stream.chunk_every(1..count, 1_000) do
      run.(keys)
      :erlang.garbage_collect()
    end
  end

  # By how much the machine grows when another process does it: what that process held is garbage afterwards.
  defp grown(run) do
    before = Measure.resident_bytes()
    {pid, ref} = spawn_monitor(run)

    receive do
      {:DOWN, ^ref, :process, ^pid, :normal} -> max(Measure.resident_bytes() - before, 0)
    end
  end

  defp megabytes(bytes), do: "#{Measure.decimal(bytes / 1_000_000)} MB"
  defp each(bytes, count), do: round(bytes / count)

  ## Appending

  def append(dir, scale) do
    count = scale.(:records)
    open(dir, "append", scale)
    [one, many] = for key <- [:one, :many], do: lease!(key)

    tables = %{
      one: :ets.new(:one, [:ordered_set, :public]),
      many: :ets.new(:many, [:ordered_set, :public])
    }

    {:ok, disk_log} =
      :disk_log.open(name: :bench, file: path(dir, "append.disk_log"), format: :external)

    cubdb = open_cubdb(dir, "append", auto_file_sync: false)

    times =
      Measure.medians(
        [
          ours: fn _round -> appending(count, &append_singly(one, &1)) end,
          ets: fn round ->
            Measure.time(fn -> insert_singly(tables.one, round * 1_000_000, count) end)
          end,
          ours_100: fn _round -> appending(count, &append_hundred(many, &1)) end,
          ets_100: fn round ->
            Measure.time(fn -> insert_hundreds(tables.many, round * 1_000_000, count) end)
          end,
          disk_log: fn _round ->
            Measure.time(fn ->
              for(_ <- 1..count, do: :ok = :disk_log.blog(disk_log, @payload))
            end)
          end
        ] ++
          beside(cubdb,
            cubdb: fn round ->
              Measure.time(fn -> put_hundreds(cubdb, round * 1_000_000, count) end)
            end
          ),
        rounds: scale.(:rounds),
        warm_up: scale.(:warm_up)
      )

    :ok = :disk_log.close(disk_log)
    close_cubdb(cubdb)
    close()
    each = Map.new(times, fn {name, took} -> {name, took / count} end)
    speed = 1_000 / each.ours_100

    [
      row(
        "append 200 B, one a call",
        Measure.show(each.ours),
        ratio(each.ours, each.ets),
        "<= 1x ETS",
        each.ours <= each.ets
      ),
      row("  ETS insert into an ordered_set", Measure.show(each.ets), "", "", nil),
      row(
        "  :disk_log.blog",
        Measure.show(each.disk_log),
        ratio(each.disk_log, each.ets),
        "",
        nil
      ),
      row(
        "append 200 B, a hundred a call",
        Measure.show(each.ours_100),
        ratio(each.ours_100, each.ets_100),
        "<= 1x ETS",
        each.ours_100 <= each.ets_100
      ),
      row("  ETS insert of a hundred", Measure.show(each.ets_100), "", "", nil),
      row("  records a second", "#{Measure.decimal(speed)} M", "", ">= 1.5 M", speed >= 1.5)
    ] ++ cubdb_row("  CubDB.put_multi of a hundred", each, :ets_100)
  end

  # A hundred records a transaction. What goes to the disk meanwhile does so; the round begins when nothing is left from the one before.
  defp appending(count, append) do
    {:ok, former} = Store.visible_lsn(__MODULE__)
    last = former + div(count, 100)

    took =
      Measure.time(fn ->
        for lsn <- (former + 1)..last do
          append.(lsn)
          :ok = Store.commit(__MODULE__, lsn)
        end
      end)

    {:ok, _} = Store.await_durable(__MODULE__, last, 60_000)
    took
  end

  defp append_singly(lease, lsn), do: append_singly(lease, lsn, 100)
  defp append_singly(_lease, _lsn, 0), do: :ok

  defp append_singly(lease, lsn, left) do
    {:ok, _offset} = Log.append(lease, lsn, [@payload])
    append_singly(lease, lsn, left - 1)
  end

  defp append_hundred(lease, lsn), do: {:ok, {^lsn, 99}} = Log.append(lease, lsn, hundred())

  defp hundred, do: List.duplicate(@payload, 100)

  defp insert_singly(table, first, count) do
    for index <- 0..(count - 1),
        do: :ets.insert(table, {{first + div(index, 100), rem(index, 100)}, @payload})
  end

  defp insert_hundreds(table, first, count) do
    for tx <- first..(first + div(count, 100) - 1),
        do: :ets.insert(table, for(op <- 0..99, do: {{tx, op}, @payload}))
  end

  defp put_hundreds(cubdb, first, count) do
    for tx <- first..(first + div(count, 100) - 1),
        do: :ok = apply(CubDB, :put_multi, [cubdb, for(op <- 0..99, do: {{tx, op}, @payload})])
  end

  ## Reading

  def read_from_memory(dir, scale) do
    open(dir, "memory", scale)
    log = log!(:log)
    table = :ets.new(:memory, [:ordered_set, :public])
    for lsn <- 1..300, do: transact(lsn, [{log, hundred()}])
    insert_hundreds(table, 1, 30_000)
    cubdb = open_cubdb(dir, "memory", auto_file_sync: false)
    if cubdb, do: put_hundreds(cubdb, 1, 30_000)

    times =
      Measure.medians(
        [
          ours: fn round ->
            Measure.time(fn ->
              {:ok, [_ | _], {:more, _}} = Log.read(log, start(round), :end, limit: 1_000)
            end)
          end,
          ets: fn round -> Measure.time(fn -> next_and_lookup(table, start(round), 1_000) end) end
        ] ++
          beside(cubdb,
            cubdb: fn round ->
              Measure.time(fn -> select_after(cubdb, start(round), 1_000) end)
            end
          ),
        rounds: scale.(:reads),
        warm_up: scale.(:warm_up)
      )

    close_cubdb(cubdb)
    close()

    [
      row(
        "read 1000 records of 200 B from memory",
        Measure.show(times.ours),
        ratio(times.ours, times.ets),
        "<= 0.15x ETS",
        times.ours <= 0.15 * times.ets
      ),
      row("  ETS next and lookup", Measure.show(times.ets), "", "", nil)
    ] ++ cubdb_row("  CubDB.select", times, :ets)
  end

  defp start(round), do: {rem(round * 7_919, 280) + 1, rem(round, 100)}

  defp next_and_lookup(_table, _key, 0), do: []

  defp next_and_lookup(table, key, left) do
    next = :ets.next(table, key)
    [{^next, payload}] = :ets.lookup(table, next)
    [{next, payload} | next_and_lookup(table, next, left - 1)]
  end

  defp select_after(cubdb, key, count) do
    range = [min_key: key, min_key_inclusive: false]
    [_ | _] = cubdb |> select(range) |> Enum.take(count)
  end

  defp select(cubdb, range), do: apply(CubDB, :select, [cubdb, range])

  def cold_read(dir, scale) do
    count = scale.(:packed)

    open(dir, "cold", scale, wal_bytes_max: 1_048_576)

    log = log!(:log)
    payload = :rand.bytes(4_096)
    for lsn <- 1..div(count, 100), do: transact(lsn, [{log, List.duplicate(payload, 100)}])
    last = div(count, 200)
    await_packed((last + 1) * 100 * byte_size(payload))

    # Not one of the store's own files: a pack may be merged into another at any time.
    file = path(dir, "cold.plain")
    File.write!(file, List.duplicate(payload, count))

    times =
      Measure.medians(
        [
          ours: fn round ->
            start = {1 + rem(round * 7_919, last), rem(round, 90)}

            Measure.time(fn ->
              {:ok, [{_, ^payload}], {:more, _}} = Log.read(log, start, :end, limit: 1)
            end)
          end,
          file: fn round ->
            Measure.time(fn -> open_read_close(file, rem(round * 7_919, count) * 4_096) end)
          end
        ],
        rounds: scale.(:reads),
        warm_up: scale.(:warm_up)
      )

    close()

    [
      row(
        "cold read 4 KiB",
        Measure.show(times.ours),
        ratio(times.ours, times.file),
        "<= 7 us",
        times.ours <= 7_000
      ),
      row("  :file open, pread and close, raw", Measure.show(times.file), "", "", nil)
    ]
  end

  defp open_read_close(path, at) do
    {:ok, file} = :file.open(path, [:read, :raw, :binary])
    {:ok, _bytes} = :file.pread(file, at, 4_096)
    :ok = :file.close(file)
  end

  # Write-ahead logs move to pack files in their order, so that many bytes there are the first ones.
  defp await_packed(bytes) do
    {:ok, info} = Store.info(__MODULE__)

    if info.pack_bytes < bytes do
      Process.sleep(20)
      await_packed(bytes)
    end
  end

  ## Durability

  def commit(dir, scale) do
    open(dir, "commit", scale)
    log = log!(:log)
    {:ok, file} = :file.open(path(dir, "commit.file"), [:write, :raw, :binary])

    {:ok, disk_log} =
      :disk_log.open(name: :bench, file: path(dir, "commit.disk_log"), format: :external)

    cubdb = open_cubdb(dir, "commit", auto_file_sync: true)

    times =
      Measure.medians(
        [
          ours: fn lsn -> Measure.time(fn -> durable(lsn, [{log, [@payload]}]) end) end,
          file: fn _round -> Measure.time(fn -> write_and_sync(file, @payload) end) end,
          disk_log: fn _round ->
            Measure.time(fn ->
              :ok = :disk_log.blog(disk_log, @payload)
              :ok = :disk_log.sync(disk_log)
            end)
          end
        ] ++
          beside(cubdb,
            cubdb: fn round ->
              Measure.time(fn -> :ok = apply(CubDB, :put, [cubdb, {round, 0}, @payload]) end)
            end
          ),
        rounds: scale.(:commits),
        warm_up: scale.(:warm_up)
      )

    :ok = :file.close(file)
    :ok = :disk_log.close(disk_log)
    close_cubdb(cubdb)
    close()

    [
      row(
        "commit acknowledged, p50",
        Measure.show(times.ours),
        ratio(times.ours, times.file),
        "<= 1.3x a sync",
        times.ours <= 1.3 * times.file
      ),
      row("  :file write and datasync", Measure.show(times.file), "", "", nil),
      row(
        "  :disk_log.blog and sync",
        Measure.show(times.disk_log),
        ratio(times.disk_log, times.file),
        "",
        nil
      )
    ] ++ cubdb_row("  CubDB.put with its syncs", times, :file)
  end

  def dirty_logs(dir, scale) do
    count = scale.(:dirty)
    open(dir, "dirty", scale)
    writes = for key <- 1..count, do: {log!(key), [@payload]}
    bytes = :binary.copy(@payload, count)
    {:ok, one} = :file.open(path(dir, "dirty.file"), [:write, :raw, :binary])

    times =
      Measure.medians(
        [
          ours: fn lsn -> Measure.time(fn -> durable(lsn, writes) end) end,
          one: fn _round -> Measure.time(fn -> write_and_sync(one, bytes) end) end,
          each: fn round ->
            1..count
            |> Enum.chunk_every(250)
            |> Enum.map(&sync_each(dir, &1, round))
            |> Enum.sum()
          end
        ],
        rounds: scale.(:dirty_rounds),
        warm_up: scale.(:warm_up)
      )

    :ok = :file.close(one)
    close()

    [
      row(
        "#{count} dirty logs made durable",
        Measure.show(times.ours),
        ratio(times.ours, times.one),
        "<= 2x one sync",
        times.ours <= 2 * times.one
      ),
      row("  one file with all of it, one datasync", Measure.show(times.one), "", "", nil),
      row(
        "  a file and a datasync for each",
        Measure.show(times.each),
        ratio(times.each, times.one),
        "",
        nil
      )
    ]
  end

  # Few files at a time, as the system may allow no more; opening them is not measured.
  defp sync_each(dir, keys, round) do
    files =
      for key <- keys do
        {:ok, file} = :file.open(path(dir, "dirty.#{key}"), [:read, :write, :raw, :binary])
        file
      end

    took =
      Measure.time(fn ->
        for file <- files do
          :ok = :file.pwrite(file, round * byte_size(@payload), @payload)
          :ok = :file.datasync(file)
        end
      end)

    Enum.each(files, &:file.close/1)
    took
  end

  defp write_and_sync(file, bytes) do
    :ok = :file.write(file, bytes)
    :ok = :file.datasync(file)
  end

  defp durable(lsn, writes) do
    transact(lsn, writes)
    {:ok, _} = Store.await_durable(__MODULE__, lsn, 60_000)
  end

  ## Recovery

  # One write-ahead log of 100 logs, whose owner died. All of it is read, also what was allocated ahead: only so is a torn end told from damage.
  def recovery(dir, scale) do
    open(dir, "recovery", scale)
    logs = for key <- 1..100, do: log!(key)
    last = div(scale.(:recovered), 1_000)

    for lsn <- 1..last,
        do: durable(lsn, for(log <- logs, do: {log, List.duplicate(@payload, 10)}))

    kill()

    for cached <- [true, false],
        line <- recovery_rows(dir, scale, cached, last),
        do: line
  end

  defp recovery_rows(dir, scale, cached, last) do
    times =
      Measure.medians(
        [
          # Each time from the same files, as the store goes on in others.
          ours: fn _round ->
            File.cp_r!(Path.join(dir, "recovery"), Path.join(dir, "recovered"))
            prepare(dir, "recovered", cached)
            took = Measure.time(fn -> open(dir, "recovered", scale) end)
            {:ok, %{lsn: ^last, clean: false}} = Store.recovery(__MODULE__)
            close()
            File.rm_rf!(Path.join(dir, "recovered"))
            took
          end,
          view: fn _round ->
            prepare(dir, "recovery", cached)
            took = Measure.time(fn -> open(dir, "recovery", scale, read_only: true) end)
            {:ok, %{lsn: ^last}} = Store.recovery(__MODULE__)
            kill()
            took
          end,
          file: fn _round ->
            prepare(dir, "recovery", cached)
            Measure.time(fn -> dir |> wals("recovery") |> Enum.each(&read_through/1) end)
          end
        ],
        rounds: scale.(:recoveries),
        warm_up: 1
      )

    bytes = dir |> wals("recovery") |> Enum.map(&File.stat!(&1).size) |> Enum.sum()
    speed = fn took -> "#{Measure.show(took)}, #{round(bytes * 1_000 / took)} MB/s" end
    share = fn took -> "#{round(100 * times.file / took)} %" end
    where = if cached, do: "in the page cache", else: "not in the page cache"

    [
      row(
        "recovery, #{where}",
        speed.(times.ours),
        share.(times.ours),
        ">= 70 % of reading",
        times.file >= 0.7 * times.ours
      ),
      row("  opened to read only", speed.(times.view), share.(times.view), "", nil),
      row("  reading the file, 1 MiB at a time", speed.(times.file), "", "", nil)
    ]
  end

  defp wals(dir, name), do: [dir, name, "*.wal"] |> Path.join() |> Path.wildcard()

  # What is on disk leaves the page cache when it is said to be needed no more.
  defp prepare(dir, name, cached) do
    for wal <- wals(dir, name) do
      {:ok, file} = :file.open(wal, [:read, :write, :raw])
      :ok = :file.sync(file)
      if not cached, do: :ok = :file.advise(file, 0, 0, :dont_need)
      :ok = :file.close(file)
    end
  end

  defp read_through(path) do
    {:ok, file} = :file.open(path, [:read, :raw, :binary])
    read_on(file)
    :ok = :file.close(file)
  end

  defp read_on(file) do
    case :file.read(file, 1_048_576) do
      {:ok, _bytes} -> read_on(file)
      :eof -> :ok
    end
  end

  ## The store

  defp open(dir, name, scale, options \\ []) do
    # The owner is linked, and `kill/0` kills it.
    Process.flag(:trap_exit, true)
    options = Keyword.put_new(options, :wal_bytes_max, scale.(:wal_bytes))
    {:ok, _owner} = Store.start_link([name: __MODULE__, dir: Path.join(dir, name)] ++ options)
  end

  defp close, do: GenServer.stop(__MODULE__, :normal, :infinity)

  defp kill do
    ref = Process.monitor(__MODULE__)
    __MODULE__ |> Process.whereis() |> Process.exit(:kill)

    receive do
      {:DOWN, ^ref, :process, _name, :killed} -> :ok
    end
  end

  defp log!(key) do
    {:ok, log} = Store.log(__MODULE__, key)
    log
  end

  defp lease!(key) do
    {:ok, lease} = Log.lease(log!(key))
    lease
  end

  defp transact(lsn, writes) do
    case Store.transact(__MODULE__, lsn, writes) do
      :ok ->
        :ok

      {:error, {:busy, ref}} ->
        receive do
          {^ref, {:ok, _}} -> transact(lsn, writes)
        end
    end
  end

  ## CubDB

  defp load_cubdb do
    case System.get_env("RACEFREE_BENCH_CUBDB", "") do
      "" ->
        nil

      folder ->
        # It implements a protocol, and those that mix has consolidated are closed.
        Mix.Project.consolidation_path() |> Code.delete_path()
        :code.purge(Enumerable)
        :code.delete(Enumerable)

        {:ok, _modules, _warnings} =
          folder
          |> Path.join("lib/**/*.ex")
          |> Path.wildcard()
          |> Kernel.ParallelCompiler.compile()
    end
  end

  defp open_cubdb(dir, name, options) do
    if Code.ensure_loaded?(CubDB) do
      # It compacts by itself once a file has much garbage; a compaction in a round would decide it.
      options = [data_dir: Path.join(dir, "#{name}.cubdb"), auto_compact: false] ++ options
      {:ok, cubdb} = apply(CubDB, :start_link, [options])
      cubdb
    end
  end

  defp close_cubdb(nil), do: :ok
  defp close_cubdb(cubdb), do: apply(CubDB, :stop, [cubdb])

  defp beside(nil, _contender), do: []
  defp beside(_cubdb, contender), do: contender

  defp cubdb_row(what, %{cubdb: took} = times, to),
    do: [row(what, Measure.show(took), ratio(took, Map.fetch!(times, to)), "", nil)]

  defp cubdb_row(_what, _times, _to), do: []

  ## Lines

  defp path(dir, name), do: dir |> Path.join(name) |> String.to_charlist()

  defp ratio(ours, theirs), do: "#{Measure.decimal(ours / theirs)}x"

  defp row(what, figure, ratio, bar, met),
    do: %{what: what, figure: figure, ratio: ratio, bar: bar, met: met}
end

Racefree.Bench.Store.main(System.argv())
