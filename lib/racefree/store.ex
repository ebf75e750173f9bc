defmodule Racefree.Store do
  @record_bytes_max 64 * 1_048_576

  @options [
    {:name, :atom, :required,
     "what the store is called in all functions; the owner process is registered under it too"},
    {:dir, :path, :required,
     "the store's directory; it is made if it is not there, and belongs to one store at a time"},
    # The longest time that Erlang's timers take, without what the supervisor waits longer.
    {:drain_ms, {:in, 0..4_294_962_295}, 25_000,
     "how long an orderly stop may take to bring everything to disk; the supervisor waits 5 s longer"},
    {:sync_interval_ms, :non_neg_integer, 0,
     "at least so long between two syncs; 0 syncs whenever something waits for it"},
    {:read_only, :boolean, false,
     "open what is on disk now, beside a store that may be writing: no lock, no writes, nothing newer is seen"},
    {:telemetry, :boolean, true,
     "whether events go to `:telemetry`, if the host has it, see \"Events\""},
    {:stage_bytes_max, :pos_integer, 16 * 1_048_576,
     "how much may wait to be written before appends answer `{:error, {:busy, ref}}`; at least 256"},
    {:transaction_bytes_max, :pos_integer, 96 * 1_048_576,
     "how large a transaction may be; at least `:record_bytes_max`"},
    {:memory_bytes_max, :pos_integer, 512 * 1_048_576,
     "how much memory records may take before they are in pack files; at least three times `:transaction_bytes_max` and `:wal_bytes_max` together, so who raises these raises this"},
    {:wal_bytes_max, :pos_integer, 64 * 1_048_576,
     "how long a write-ahead log grows before its records move to a pack file; 4 KiB to 1 TiB"},
    {:block_bytes_max, :pos_integer, 128 * 1024,
     "how much memory is taken at once for a busy log; 256 bytes to 16 MiB"},
    {:record_bytes_max, :pos_integer, nil,
     "how large a record may be; 1 byte to 64 MiB. Where it is not given it is 64 MiB, or `:transaction_bytes_max` if that is less"}
  ]

  @inspect_options [
    {:count, :boolean, false, "whether to count the records of each log, which reads all of them"}
  ]

  @moduledoc """
  Many append-only logs over one write-ahead log.

      children = [{Racefree.Store, name: MyApp.Store, dir: "/var/lib/my_app/store"}]

  A store is a directory. A log is a sequence of records under a key, any term. A record is a payload at an offset `{tx, op}`: the transaction that it came with, and its place
  in the log within that transaction. What a transaction appends to any number of logs becomes visible at once, by one commit, and durable at once, by one sync.

      iex> dir = Path.join(System.tmp_dir!(), "racefree_doc_\#{System.os_time()}")
      iex> {:ok, _owner} = Racefree.Store.start_link(name: DocStore, dir: dir)
      iex> {:ok, orders} = Racefree.Store.log(DocStore, :orders)
      iex> {:ok, totals} = Racefree.Store.log(DocStore, {:totals, 7})
      iex> Racefree.Store.transact(DocStore, 1, [{orders, ["coffee", "tea"]}, {totals, ["2"]}])
      :ok
      iex> Racefree.Store.await_durable(DocStore, 1)
      {:ok, 1}
      iex> Racefree.Log.read(orders, {0, 0}, :end)
      {:ok, [{{1, 0}, "coffee"}, {{1, 1}, "tea"}], :done}
      iex> Racefree.Store.transact(DocStore, 1, [{orders, ["again"]}])
      :already

  ## Transactions

  A transaction is named by its log sequence number (`lsn`), a positive integer that the upstream gives and that only grows. One is open at a time: the first append with a
  higher lsn opens it, appends of the same lsn to other logs join it, from any process that holds their leases, and `commit/2` closes it. `transact/4` does all of it in one
  call. Offsets begin with the lsn, so after a crash the upstream is asked for what follows `durable_lsn/1`, and repeats are told apart by `:already`.

  ## Guarantees

    * **Nothing is missed.** A read shows every committed record of its range, whatever is flushed, merged, trimmed or moved to another file meanwhile. An empty answer means
      that nothing was committed in the range; what was trimmed is an error.
    * **One cut.** After any crash all logs and metas stand at the same transaction, at or above the last `durable_lsn/1` that anybody saw.
    * **Durable is durable.** `durable_lsn/1` moves only after the sync returned; what was read at level `:durable` never changes or disappears.
    * **All or nothing.** No reader sees a part of a transaction, nor anything of one that is open, was aborted or is lost by a crash.
    * **Repeats are harmless.** A transaction at or below the last commit changes nothing and says `:already`.
    * **One writer.** A new lease ends the former one, whose appends get `{:error, :fenced}`.
    * **Errors stay.** After a failed write or sync nothing is announced durable; waiters get the error, and the owner process stops with `{:storage_failed, reason}`.

  ## Does not guarantee

    * **That a visible record survives.** `A` commits 7; `B` reads it at level `:visible` and tells a client; the machine loses power before the sync: after the restart the
      record is gone. What leaves the system is read at level `:durable`.
    * **That `commit/2` waits for the disk.** It returns when readers see the transaction; `await_durable/3` waits.
    * **That a read sees a transaction committed while it ran.** `B` reads; `A` commits; `B`'s answer, taken before, lacks it. Each page tells one position.
    * **That a disk which lies about a sync keeps anything.**

  ## Messages

  `subscribe_durable/1` brings `{Racefree.Store, ref, {:durable, lsn}}` whenever the durable position has moved, and at last, if the store fails, `{Racefree.Store, ref, {:failed, reason}}`.
  `{:error, {:busy, ref}}` is followed by one message `{ref, {:ok, _}}` when there is room, or `{ref, {:error, reason}}`.

  ## Events

  If the host has `:telemetry`, these are executed. Times are microseconds (`_us`), sizes bytes, the others counts.

  | event | measurements | metadata beside `:store` |
  |---|---|---|
  | `[:racefree, :store, :opened]`: it started, and recovered what was there | `:duration_us`; `:records`, `:bytes` replayed from write-ahead logs; `:dropped_records`, `:dropped_bytes` that no commit followed | `:dir`, `:read_only`, `:recovery` (the map of `recovery/1`) |
  | `[:racefree, :store, :busy]`: a call was refused until there is room | `:count`, always 1 | |
  | `[:racefree, :store, :drained]`: `drain/2` ended well | `:duration_us` of the call | |
  | `[:racefree, :store, :failed]`: the disk failed or a panic was caught; the owner process stops with the reason | `:count`, always 1 | `:reason` |
  | `[:racefree, :store, :closed]`: the owner process stops | `:duration_us` of the stop | `:reason` of the stop; `:outcome`: `:ok` if all is on disk, else an error with `:timeout`, `:not_drained` or a reason |

  The owner process executes them; but `:busy` and `:drained` the process that called. Of an owner that is killed nothing is told. What happens all the time (batches, syncs, write-ahead logs
  that become packs, merges) is no event: poll the figures of `info/1`.

  ## Costs

  An append copies the payload once, under a lock that is held for the copy. Reading from memory copies small pages and hands out parts of the store's memory for large ones (64 KiB and more):
  a binary of such a page keeps its block alive, see `:pinned_bytes` in `info/1`; `:binary.copy/1` lets it go. What would wait for the disk is read on a dirty scheduler.
  """

  alias Racefree.{Lease, Log, LogRemoval, Native, Options}
  alias Racefree.Store.{Arguments, Directory, Events}

  @typedoc "The name of a store."
  @type name :: atom
  @typedoc "A transaction: a positive integer below 2^64."
  @type lsn :: non_neg_integer
  @type key :: term
  @typedoc "How a log is named in a call that takes several."
  @type address :: Log.t() | Lease.t() | key
  @typedoc "A payload, or a payload with its own place in the log within the transaction."
  @type payload :: iodata | {op :: non_neg_integer, iodata}
  @typedoc "What stopped the store: the step, and the error by its name as `:file` gives it, or by the system's number if it is a rare one."
  @type storage_failed :: {:storage_failed, {atom, atom | integer}}
  @typedoc "The store is not started, has stopped, or its disk failed."
  @type down :: :store_down | :poisoned | storage_failed
  @typedoc "Why nothing was appended or committed."
  @type refused ::
          {:busy, reference}
          | :transaction_too_large
          | {:record_too_large, index :: non_neg_integer}
          | {:op_not_increasing, index :: non_neg_integer}
          | :meta_too_large
          | :fenced
          | :removed
          | {:lsn_behind, lsn}
          | {:transaction_open, lsn}
          | :lsn_zero
          | :read_only
          | :drained
          | down
  @typedoc "Why a log is not to be had."
  @type no_log :: :not_found | :removed | :key_too_large | :read_only | :drained | down
  @typedoc "Why a store did not open."
  @type not_opened ::
          :locked
          | {:corrupt, file :: String.t(), offset :: non_neg_integer, atom}
          | {:unknown_version, file :: String.t(), non_neg_integer}
          | {:missing, file :: String.t()}
          | {:foreign, file :: String.t()}
          | {:option_out_of_bounds, option :: atom, value :: non_neg_integer,
             {:at_least | :at_most, bound :: non_neg_integer, follows_from :: [option :: atom]}}
          | storage_failed

  ## The owner process

  @doc """
  Starts a store: recovers what is in the directory, and goes on from there.

  It does not start with `{:error, reason}` of `t:not_opened/0`; `mix racefree.store`, or in a release `inspect_dir/2` and `verify_dir/1`, tell more of a damaged one.

  #{Options.docs(@options)}
  """
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(options) do
    options = Options.check!(options, @options)
    GenServer.start_link(Racefree.Store.Owner, options, name: options.name)
  end

  @doc "A supervisor's child: `{Racefree.Store, name: MyApp.Store, dir: dir}`."
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: Keyword.get(options, :name, __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      type: :worker,
      # Longer than the drain: a supervisor that kills a drain makes a crash of every restart.
      shutdown: Keyword.get(options, :drain_ms, 25_000) + 5_000
    }
  end

  @doc """
  Brings everything that was committed to disk and marks a clean stop. The store takes nothing more.

  From the call on, whatever would change the store gets `{:error, :drained}`: appends, commits, aborts, new logs and leases, trims, removals. A transaction that is open is dropped.
  Reads go on until the owner process stops. Whoever waits for a transaction that will not come gets `{:error, :store_down}` at the end.

  `:ok` says that all of it is on disk; a store that was drained says so again, and a read-only one at once. After `{:error, :timeout}` the store goes on draining: call again to wait
  on. Nothing undoes a drain; the next start takes appends again. An orderly stop drains by itself, for at most `:drain_ms`, and answers the same meanwhile.
  """
  @spec drain(name, timeout) :: :ok | {:error, :timeout | down}
  def drain(store, timeout \\ 25_000) do
    timeout = Arguments.timeout!(timeout)

    with {:ok, service} <- service(store),
         from = System.monotonic_time(),
         :ok <- Native.store_begin_drain(service),
         {:ok, _lsn} <- await(service, :drained, timeout),
         do: Events.execute(store, :drained, %{duration_us: since_us(from)}, %{})
  end

  @doc false
  # The microseconds since `from`, of the monotonic clock.
  def since_us(from),
    do: System.convert_time_unit(System.monotonic_time() - from, :native, :microsecond)

  @doc false
  # The native settings in an option map.
  def settings(options) do
    record_bytes_max =
      options.record_bytes_max || min(@record_bytes_max, options.transaction_bytes_max)

    {{number(options.stage_bytes_max), number(options.transaction_bytes_max),
      number(options.memory_bytes_max)},
     {number(options.wal_bytes_max), number(options.block_bytes_max), number(record_bytes_max)},
     number(options.sync_interval_ms)}
  end

  # Larger ones are as good as none.
  defp number(integer), do: min(integer, 0xFFFF_FFFF_FFFF_FFFF)

  @doc false
  # The settings of a store for which nothing was said.
  def default_settings do
    [name: __MODULE__, dir: "."] |> Options.check!(@options) |> settings()
  end

  @doc false
  @spec service(name) :: {:ok, reference} | {:error, :store_down}
  def service(store) when is_atom(store) do
    # The table belongs to the owner process and goes away with it.
    {:ok, :ets.lookup_element(store, :service, 2)}
  rescue
    ArgumentError -> {:error, :store_down}
  end

  ## Logs

  @doc """
  The log under `key`, made if there is none. Making one is part of no transaction; it waits for room for at most `timeout`.
  """
  @spec log(name, key, timeout) :: {:ok, Log.t()} | {:error, :timeout | no_log}
  def log(store, key, timeout \\ 5_000) do
    encoded = encode(key)
    deadline = timeout |> Arguments.timeout!() |> deadline()

    with {:ok, service} <- service(store),
         {:ok, handle} <- in_room(fn -> make_log(service, encoded) end, deadline),
         do: {:ok, %Log{store: store, key: key, handle: handle}}
  end

  defp make_log(service, encoded) do
    with {:error, :busy} <- Native.store_log(service, encoded), do: {:busy, service}
  end

  @doc "The log under `key`, if there is one."
  @spec find(name, key) :: {:ok, Log.t()} | {:error, no_log}
  def find(store, key) do
    with {:ok, service} <- service(store),
         {:ok, handle} <- Native.store_find(service, encode(key)),
         do: {:ok, %Log{store: store, key: key, handle: handle}}
  end

  @doc "The keys of all logs, in no order."
  @spec keys(name) :: {:ok, [key]} | {:error, down}
  def keys(store) do
    with {:ok, service} <- service(store),
         keys when is_list(keys) <- Native.store_keys(service),
         do: {:ok, Enum.map(keys, &decode/1)}
  end

  @doc "Goes on with a removal that was begun before, by this run or an earlier one; see `Racefree.Log.begin_remove/1`."
  @spec removal(name, key) :: {:ok, LogRemoval.t()} | {:error, no_log | :stale}
  def removal(store, key) do
    with {:ok, service} <- service(store),
         {:ok, handle} <- Native.store_removal(service, encode(key)),
         do: {:ok, %LogRemoval{store: store, key: key, handle: handle}}
  end

  ## Transactions

  @doc "Makes what was appended with `lsn` visible, in all logs at once. A commit of nothing is fine: it moves the position."
  @spec commit(name, lsn) :: :ok | :already | {:error, :not_open | refused}
  def commit(store, lsn) do
    lsn = Arguments.lsn!(lsn)

    with {:ok, service} <- service(store),
         do: ready(store, service, fn -> Native.store_commit(service, lsn) end)
  end

  @doc "Drops what was appended with `lsn`."
  @spec abort(name, lsn) :: :ok | {:error, :not_open | refused}
  def abort(store, lsn) do
    lsn = Arguments.lsn!(lsn)
    with {:ok, service} <- service(store), do: Native.store_abort(service, lsn)
  end

  @doc """
  A whole transaction: appends to several logs and commits. On an error nothing was done.

  A log is given by itself, by its lease where one is held, or by its key. `metas`, a list or map, gives logs a new meta, a binary that belongs to the transaction: what is derived
  from the log, such as where a consumer stands. In each of the two a log stands at most once. `writes` may be empty, and a log may have a meta and no records.

      transact(MyApp.Store, 7, [{:orders, ["coffee"]}, {{:totals, 7}, ["2"]}], %{{:totals, 7} => "2 of 7"})

  A key stands for the log that is under it at the call, and makes none: `{:error, :not_found}`. A `t:Racefree.Log.t/0` stands for one life of the key: where the log was removed and
  its key made anew meanwhile, it gets `{:error, :removed}`.
  """
  @spec transact(name, lsn, [{address, [payload]}], [{address, iodata}] | %{address => iodata}) ::
          :ok | :already | {:error, :not_found | refused}
  def transact(store, lsn, writes, metas \\ []) do
    lsn = Arguments.lsn!(lsn)

    with {:ok, service} <- service(store),
         {:ok, parts} <- addressed(service, writes, metas) do
      case ready(store, service, fn -> dirty_transact(service, lsn, parts) end) do
        # Which log, is looked for only now.
        {:error, :twice} -> twice!(writes, "writes")
        answer -> answer
      end
    end
  end

  # `{log, lease or nil, records, meta or nil}` for each log.
  defp addressed(service, writes, metas) when is_list(writes) and (metas == [] or metas == %{}),
    do: addressed(service, writes, %{}, [])

  defp addressed(service, writes, metas) do
    written = by_key!(writes, "writes")
    metas = by_key!(metas, "metas")
    alone = for {key, {to, _meta}} <- metas, not is_map_key(written, key), do: {to, []}
    addressed(service, writes ++ alone, metas, [])
  end

  defp addressed(_service, [], _metas, done), do: {:ok, Enum.reverse(done)}

  defp addressed(service, [{to, records} | rest], metas, done) do
    meta = if metas != %{}, do: with({_to, meta} <- Map.get(metas, key_of(to)), do: meta)

    with {:ok, log, lease} <- address(service, to),
         do: addressed(service, rest, metas, [{log, lease, records, meta} | done])
  end

  defp addressed(_service, other, _metas, _done) do
    not_pairs!("writes", if(is_list(other), do: hd(other), else: other))
  end

  # What each log gets, by its key. Of two parts for one log, which have no order that anybody stated, neither is guessed to be meant.
  defp by_key!(pairs, name) when is_list(pairs) or is_map(pairs) do
    keyed =
      Enum.map(pairs, fn
        {to, what} -> {key_of(to), {to, what}}
        other -> not_pairs!(name, other)
      end)

    # Made at once: key by key, a map of many thousands costs more than all the rest of the call.
    by_key = :maps.from_list(keyed)
    if map_size(by_key) < length(keyed), do: twice!(pairs, name)
    by_key
  end

  defp by_key!(other, name), do: not_pairs!(name, other)

  defp twice!(pairs, name) do
    keys = for {to, _what} <- pairs, do: key_of(to)
    [key | _] = keys -- Enum.uniq(keys)
    raise ArgumentError, "the log #{inspect(key)} stands twice in the #{name}"
  end

  defp not_pairs!(name, other) do
    raise ArgumentError,
          "expected #{name} to be pairs of a log, lease or key and what it gets, got: #{inspect(other)}"
  end

  defp key_of(%Log{key: key}), do: key
  defp key_of(%Lease{log: log}), do: log.key
  defp key_of(key), do: key

  defp address(_service, %Log{handle: handle}), do: {:ok, handle, nil}
  defp address(_service, %Lease{log: log, handle: handle}), do: {:ok, log.handle, handle}

  defp address(service, key) do
    with {:ok, handle} <- Native.store_find(service, encode(key)), do: {:ok, handle, nil}
  end

  defp dirty_transact(service, lsn, writes) do
    case Native.store_transact(service, lsn, writes) do
      :oversized -> Native.store_transact_dirty(service, lsn, writes)
      answer -> answer
    end
  end

  @doc false
  # Makes a change as soon as there is room for it: it answers `{:busy, service}` while there is none.
  def in_room(change, deadline) do
    case change.() do
      {:busy, service} ->
        with {:ok, _written} <- await(service, :ready, left(deadline)),
             do: in_room(change, deadline)

      answer ->
        answer
    end
  end

  @doc false
  def deadline(:infinity), do: :infinity
  def deadline(timeout), do: System.monotonic_time(:millisecond) + timeout

  @doc false
  def left(:infinity), do: :infinity
  def left(deadline), do: max(deadline - System.monotonic_time(:millisecond), 0)

  @doc false
  # Runs an append, and turns `:busy` into the promise of a message.
  def ready(store, service, append) do
    case append.() do
      {:error, :busy} ->
        ref = make_ref()

        case Native.store_await(service, :ready, ref) do
          {:waiting, _wait} ->
            Events.execute(store, :busy, %{count: 1}, %{})
            {:error, {:busy, ref}}

          {:ok, _} ->
            ready(store, service, append)

          {:error, _reason} = error ->
            error
        end

      {:error, :other_store} ->
        other_store!()

      {:error, {:invalid_record, index}} ->
        raise ArgumentError, "record #{index} is neither iodata nor {op, iodata}"

      {:error, :invalid_argument} ->
        raise ArgumentError,
              "records are a list of iodata or {op, iodata}; a meta is iodata"

      answer ->
        answer
    end
  end

  ## Positions

  @doc "The last committed transaction; 0 before the first."
  @spec visible_lsn(name) :: {:ok, lsn} | {:error, down}
  def visible_lsn(store) do
    with {:ok, service} <- service(store),
         {visible, _} <- Native.store_lsns(service),
         do: {:ok, visible}
  end

  @doc "The last transaction that a crash now would preserve: what the upstream may forget. 0 before the first."
  @spec durable_lsn(name) :: {:ok, lsn} | {:error, down}
  def durable_lsn(store) do
    with {:ok, service} <- service(store),
         {_, durable} <- Native.store_lsns(service),
         do: {:ok, durable}
  end

  @doc "Waits until transaction `lsn` is durable. Leaves no message behind."
  @spec await_durable(name, lsn, timeout) :: {:ok, lsn} | {:error, :timeout | down}
  def await_durable(store, lsn, timeout \\ 5_000) do
    what = {:durable, Arguments.lsn!(lsn)}
    timeout = Arguments.timeout!(timeout)
    with {:ok, service} <- service(store), do: await(service, what, timeout)
  end

  @doc false
  def await(service, what, timeout) do
    ref = make_ref()

    case Native.store_await(service, what, ref) do
      {:waiting, wait} ->
        receive do
          {^ref, outcome} -> outcome
        after
          timeout -> give_up(wait, ref)
        end

      outcome ->
        outcome
    end
  end

  defp give_up(wait, ref) do
    if Native.store_cancel(wait) do
      {:error, :timeout}
    else
      # It is on its way.
      receive do
        {^ref, outcome} -> outcome
      end
    end
  end

  @doc "Has the calling process told whenever the durable position moves, see \"Messages\". The reference tells subscriptions apart."
  @spec subscribe_durable(name) :: {:ok, {reference, term}} | {:error, down}
  def subscribe_durable(store) do
    with {:ok, service} <- service(store) do
      ref = make_ref()

      case Native.store_follow(service, ref) do
        {:error, _reason} = error -> error
        following -> {:ok, {ref, following}}
      end
    end
  end

  @doc "Ends a subscription; none of its messages is in the mailbox afterwards, and none will be."
  @spec unsubscribe_durable({reference, term}) :: :ok
  def unsubscribe_durable({ref, following}) do
    :ok = Native.store_unfollow(following)
    flush(ref)
  end

  defp flush(ref) do
    receive do
      {__MODULE__, ^ref, _news} -> flush(ref)
    after
      0 -> :ok
    end
  end

  @doc """
  Several logs at one transaction: their readers, in the order of the logs, and that transaction.

  A log is given by itself, by its lease, or by its key, which stands for the log that is under it at the call.
  """
  @spec snapshot(name, [address], Log.level()) ::
          {:ok, lsn, [Racefree.Log.Reader.t()]} | {:error, :not_found | Log.unreadable()}
  def snapshot(store, logs, level \\ :visible) do
    level = Arguments.level!(level)

    with {:ok, service} <- service(store),
         {:ok, logs} <- logs(store, service, logs, []),
         {:ok, lsn, readers} <-
           own(Native.store_snapshot(service, Enum.map(logs, & &1.handle), level)) do
      readers =
        for {log, handle} <- Enum.zip(logs, readers),
            do: %Log.Reader{log: log, lsn: lsn, handle: handle}

      {:ok, lsn, readers}
    end
  end

  defp logs(_store, _service, [], done), do: {:ok, Enum.reverse(done)}

  defp logs(store, service, [%Log{} = log | rest], done),
    do: logs(store, service, rest, [log | done])

  defp logs(store, service, [%Lease{log: log} | rest], done),
    do: logs(store, service, rest, [log | done])

  defp logs(store, service, [key | rest], done) do
    with {:ok, handle, nil} <- address(service, key),
         do: logs(store, service, rest, [%Log{store: store, key: key, handle: handle} | done])
  end

  defp logs(_store, _service, other, _done),
    do: raise(ArgumentError, "expected a list of logs, leases or keys, got: #{inspect(other)}")

  defp own({:error, :other_store}), do: other_store!()
  defp own(answer), do: answer

  defp other_store!, do: raise(ArgumentError, "a log or lease is of another store")

  ## Looking after it

  @doc """
  Figures of the store, each right at some moment of the call.

    * `:logs`, `:visible_lsn`, `:durable_lsn`, `:open_transaction` (`nil` if none is)
    * in bytes, of what is not in pack files: `:pending_bytes` (to be written), `:memory_bytes`, `:pinned_bytes` (memory that only readers hold), `:wal_bytes`
    * of pack files: `:pack_files`, and in bytes `:pack_bytes` and `:dead_bytes` (trimmed or removed, given back by later merges)
    * since the start: `:batches`, `:syncs`, and in microseconds `:sync_last_us`, `:sync_max_us`, `:sync_total_us`
    * `:merging_stopped`: a merge met a damaged pack file. Until the next start no more are merged, so their number grows and dead bytes stay; reads go on, but for those that need the
      damaged place. `verify/1` finds it
    * `:failure`: what stopped the store, `nil` if nothing did
  """
  @spec info(name) :: {:ok, map} | {:error, down}
  def info(store) do
    with {:ok, service} <- service(store) do
      case Native.store_info(service) do
        info when is_map(info) -> {:ok, info}
        error -> error
      end
    end
  end

  @doc "What the start found: `:lsn`, `:clean`, `:fresh`, what was replayed and dropped, `:torn`, `:pending_removals`."
  @spec recovery(name) :: {:ok, map} | {:error, down}
  def recovery(store) do
    {:ok, :ets.lookup_element(store, :recovery, 2)}
  rescue
    ArgumentError -> {:error, :store_down}
  end

  @doc "Reads every byte that logs refer to. `:problems` lists damage: file, offset, kind. `:files`, `:records` and `:bytes` say how much was read."
  @spec verify(name) :: {:ok, map} | {:error, down}
  def verify(store) do
    with {:ok, service} <- service(store), do: Native.store_verify(service)
  end

  ## Directories

  # These take a directory and no name: what people look at when a store does not start. `mix racefree.store` says the same in words.

  @doc """
  What is in the directory of a store. Nothing is written, and the store may be running; what it has not written yet is not seen.

  A release has no Mix, so there it is called like this:

      bin/my_app eval 'IO.inspect(Racefree.Store.inspect_dir("/var/lib/my_app/store"))'

  Gives `:recovery`, what a start would find (as `recovery/1`); `:info` (as `info/1`); `:keys`, sorted; and `:logs`, `nil` or a map for each log: `:key`, `:trimmed`, and `:records` and
  `:last`, or `:unreadable`. `{:error, reason}` says why the store does not open; `Racefree.Error` puts it in words.

  #{Options.docs(@inspect_options)}
  """
  @spec inspect_dir(Path.t(), count: boolean) :: {:ok, map} | {:error, not_opened}
  def inspect_dir(dir, options \\ []) do
    Directory.inspect_dir(dir, Options.check!(options, @inspect_options).count)
  end

  @doc """
  Reads every byte that counts in the directory of a store, as `verify/1` does with one that runs. Nothing is written.

      bin/my_app eval 'IO.inspect(Racefree.Store.verify_dir("/var/lib/my_app/store"), limit: :infinity)'

  Damage that keeps the store from opening is the `{:error, reason}`, and the one place that is named then: nothing is said of the rest.
  """
  @spec verify_dir(Path.t()) :: {:ok, map} | {:error, not_opened}
  def verify_dir(dir), do: Directory.verify_dir(dir)

  @doc """
  Copies what is provably good in the directory `from` to a new store in `to`, a directory without one. Nothing in `from` is written. No store should be running in it.

      bin/my_app eval 'IO.inspect(Racefree.Store.salvage("/var/lib/my_app/store", "/var/lib/my_app/saved"), limit: :infinity)'

  Gives `:lsn`, where the new store stands, its number of `:logs` and `:records`, and what was lost:

    * `:damage`: reasons as in `t:not_opened/0`, one for each file or place
    * `:lost_after`: the transaction after which everything is lost, since the write-ahead log or the manifest is damaged there; `nil` if they are not
    * `:lost_packs`: `{above, upto}`, the transactions of files that cannot be opened
    * `:lost`: `{key, above, below}`, records of a log between two offsets
  """
  @spec salvage(Path.t(), Path.t()) :: {:ok, map} | {:error, not_opened}
  def salvage(from, to), do: Directory.salvage(from, to)

  @doc false
  def encode(key), do: :erlang.term_to_binary(key, [:deterministic, minor_version: 2])

  @doc false
  def decode(key), do: :erlang.binary_to_term(key)
end
