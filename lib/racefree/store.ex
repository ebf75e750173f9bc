defmodule Racefree.Store do
  @options [
    {:name, :atom, :required,
     "what the store is called in all functions; the owner process is registered under it too"},
    {:dir, :path, :required,
     "the store's directory; it is made if it is not there, and belongs to one store at a time"},
    {:drain_ms, :non_neg_integer, 25_000,
     "how long an orderly stop may take to bring everything to disk; the supervisor waits 5 s longer"},
    {:sync_interval_ms, :non_neg_integer, 0,
     "at least so long between two syncs; 0 syncs whenever something waits for it"},
    {:read_only, :boolean, false,
     "open what is on disk now, beside a store that may be writing: no lock, no writes, nothing newer is seen"},
    {:stage_bytes_max, :pos_integer, 16 * 1_048_576,
     "how much may wait to be written before appends answer `{:error, {:busy, ref}}`"},
    {:transaction_bytes_max, :pos_integer, 96 * 1_048_576, "how large a transaction may be"},
    {:memory_bytes_max, :pos_integer, 512 * 1_048_576,
     "how much memory records may take before they are in pack files; at least three times a transaction and a write-ahead log"},
    {:wal_bytes_max, :pos_integer, 64 * 1_048_576,
     "how long a write-ahead log grows before its records move to a pack file"},
    {:block_bytes_max, :pos_integer, 128 * 1024,
     "how much memory is taken at once for a busy log"},
    {:record_bytes_max, :pos_integer, 64 * 1_048_576, "how large a record may be"}
  ]

  @moduledoc """
  Many append-only logs over one write-ahead log.

      children = [{Racefree.Store, name: MyApp.Store, dir: "/var/lib/my_app/store"}]

  A store is a directory. A log is a sequence of records under a key, any term. A record is a payload at an offset `{tx, op}`: the transaction that it came with, and its place
  in the log within that transaction. What a transaction appends to any number of logs becomes visible at once, by one commit, and durable at once, by one sync.

      iex> dir = Path.join(System.tmp_dir!(), "racefree_doc_\#{System.unique_integer([:positive])}")
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

  ## Costs

  An append copies the payload once, under a lock that is held for the copy. Reading from memory copies small pages and hands out parts of the store's memory for large ones (64 KiB and more):
  a binary of such a page keeps its block alive, see `:pinned_bytes` in `info/1`; `:binary.copy/1` lets it go. What would wait for the disk is read on a dirty scheduler.
  """

  alias Racefree.{Lease, Log, LogRemoval, Native, Options}
  alias Racefree.Store.Arguments

  @typedoc "The name of a store."
  @type name :: atom
  @typedoc "A transaction: a positive integer below 2^64."
  @type lsn :: non_neg_integer
  @type key :: term
  @typedoc "How a log is named in a call that takes several."
  @type address :: Log.t() | Lease.t() | key
  @typedoc "A payload, or a payload with its own place in the log within the transaction."
  @type payload :: iodata | {op :: non_neg_integer, iodata}
  @typedoc "What stopped the store: the step, and the error as `:file` names it or the system's number."
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
          | down
  @typedoc "Why a log is not to be had."
  @type no_log :: :not_found | :removed | :key_too_large | :read_only | down
  @typedoc "Why a store did not open."
  @type not_opened ::
          :locked
          | {:corrupt, file :: String.t(), offset :: non_neg_integer, atom}
          | {:unknown_version, file :: String.t(), non_neg_integer}
          | {:missing, file :: String.t()}
          | {:foreign, file :: String.t()}
          | {:option_out_of_bounds, String.t()}
          | storage_failed

  ## The owner process

  @doc """
  Starts a store: recovers what is in the directory, and goes on from there.

  It does not start with `{:error, reason}` of `t:not_opened/0`; `mix racefree.store` tells more of a damaged one.

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

  @doc false
  # The native settings in an option map.
  def settings(options) do
    {{options.stage_bytes_max, options.transaction_bytes_max, options.memory_bytes_max},
     {options.wal_bytes_max, options.block_bytes_max, options.record_bytes_max},
     options.sync_interval_ms}
  end

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
  The log under `key`, made if there is none. Making one is part of no transaction. `:busy` comes only where one is to be made, see "Messages".
  """
  @spec log(name, key) :: {:ok, Log.t()} | {:error, {:busy, reference} | no_log}
  def log(store, key) do
    encoded = encode(key)

    with {:ok, service} <- service(store),
         {:ok, handle} <- ready(service, fn -> Native.store_log(service, encoded) end),
         do: {:ok, %Log{store: store, key: key, handle: handle}}
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
         do: ready(service, fn -> Native.store_commit(service, lsn) end)
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
      case ready(service, fn -> dirty_transact(service, lsn, parts) end) do
        {:error, :twice} -> twice!(writes)
        answer -> answer
      end
    end
  end

  # Which log, is looked for only now.
  defp twice!(writes) do
    by_key!(writes, "writes")
    raise ArgumentError, "a log stands twice in the writes"
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
    Enum.reduce(pairs, %{}, fn
      {to, what}, seen ->
        key = key_of(to)

        if is_map_key(seen, key),
          do: raise(ArgumentError, "the log #{inspect(key)} stands twice in the #{name}")

        Map.put(seen, key, {to, what})

      other, _seen ->
        not_pairs!(name, other)
    end)
  end

  defp by_key!(other, name), do: not_pairs!(name, other)

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
  # Runs an append, and turns `:busy` into the promise of a message.
  def ready(service, append) do
    case append.() do
      {:error, :busy} ->
        ref = make_ref()

        case Native.store_await(service, :ready, ref) do
          {:waiting, _wait} -> {:error, {:busy, ref}}
          {:ok, _} -> ready(service, append)
          {:error, _reason} = error -> error
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
  Figures: `:logs`, `:visible_lsn`, `:durable_lsn`, `:open_transaction`; in bytes `:pending_bytes`, `:memory_bytes`, `:pinned_bytes` (memory that only readers hold), `:wal_bytes`,
  `:pack_bytes`, `:dead_bytes`; `:pack_files`, `:batches`, `:syncs`; in microseconds `:sync_last_us`, `:sync_max_us`, `:sync_total_us`; `:failure`.
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

  @doc "Reads every byte that logs refer to. `:problems` lists damage: file, offset, kind."
  @spec verify(name) :: {:ok, map} | {:error, down}
  def verify(store) do
    with {:ok, service} <- service(store), do: Native.store_verify(service)
  end

  @doc false
  def encode(key), do: :erlang.term_to_binary(key, [:deterministic, minor_version: 2])

  @doc false
  def decode(key), do: :erlang.binary_to_term(key)
end
