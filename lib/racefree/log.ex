defmodule Racefree.Log do
  @records_max 1_000
  @bytes_max 1_048_576

  @append_options [{:meta, :any, nil, "the log's new meta, iodata"}]
  @read_options [
    {:level, {:one_of, [:visible, :durable]}, :visible,
     "whether to read what is committed, or only what a crash now would preserve; a reader stands where it stands"},
    {:limit, :pos_integer, @records_max, "at most so many records"},
    {:bytes, :pos_integer, @bytes_max, "at most so many bytes of payload, but always one record"}
  ]
  @stream_options [{:upto, :any, :end, "up to and with this offset"} | @read_options]

  @moduledoc """
  A log of a `Racefree.Store`: records by ascending offset.

  `Racefree.Store.log/2` gives one. It can be sent to other processes; after the store was stopped or restarted its calls answer `{:error, :store_down}`, and the log is to be had
  anew. For guarantees see `Racefree.Store`.
  """

  alias Racefree.{Lease, LogRemoval, Native, Options, Store}
  alias Racefree.Store.Arguments

  @enforce_keys [:store, :key, :handle]
  defstruct [:store, :key, :handle]

  @type t :: %__MODULE__{store: Store.name(), key: Store.key(), handle: reference}
  @typedoc "Transaction, and place in the log within it. `{0, 0}` lies before every record."
  @type offset :: {Store.lsn(), op :: non_neg_integer}
  @typedoc "`:visible` is what is committed, `:durable` what a crash now would preserve."
  @type level :: :visible | :durable
  @typedoc "Why nothing could be read: trimmed (with the lowest `after` that can be read), removed, a damaged or failing file."
  @type unreadable ::
          {:trimmed, offset}
          | :removed
          | {:corrupt, file :: String.t(), offset :: non_neg_integer, atom}
          | Store.down()
  @type page :: {:ok, [{offset, binary}], :done | {:more, offset}}

  defmodule Reader do
    @moduledoc "One state of a log, at transaction `lsn`: reading it again gives the same, whatever happens to the log."
    @enforce_keys [:log, :lsn, :handle]
    defstruct [:log, :lsn, :handle]
    @type t :: %__MODULE__{log: Racefree.Log.t(), lsn: Racefree.Store.lsn(), handle: reference}
  end

  # The end of every range.
  @number_max 0xFFFF_FFFF_FFFF_FFFF
  @last {@number_max, @number_max}

  ## Writing

  @doc """
  Makes the calling process the log's writer. A writer before it is fenced off: its appends get `{:error, :fenced}`. The lease ends with the process, or by `release/1`.
  """
  @spec lease(t) :: {:ok, Lease.t()} | {:error, Store.no_log()}
  def lease(%__MODULE__{handle: handle} = log) do
    with {:ok, lease} <- Native.store_lease(handle), do: {:ok, %Lease{log: log, handle: lease}}
  end

  @doc "Gives a lease back."
  @spec release(Lease.t()) :: :ok
  def release(%Lease{handle: handle}), do: Native.store_release(handle)

  @doc """
  Appends to the transaction `lsn`, which it opens if none is open; `Racefree.Store.commit/2` makes it visible.

  Records are iodata, and get the places 0, 1, 2, … of the log within the transaction; `{op, iodata}` says another place, higher than the one before.
  Gives the offset of the last record, `nil` if there was none.

  #{Options.docs(@append_options)}
  """
  @spec append(Lease.t(), Store.lsn(), [Store.payload()], meta: iodata) ::
          {:ok, offset | nil} | :already | {:error, Store.refused()}
  def append(%Lease{log: log, handle: handle}, lsn, records, options \\ []) do
    lsn = Arguments.lsn!(lsn)

    meta =
      case options do
        [] -> nil
        [meta: meta] -> meta
        _ -> Options.check!(options, @append_options).meta
      end

    case staged(handle, lsn, records, meta) do
      {:ok, _last} = staged ->
        staged

      # Nothing was done. What to say of it, or to wait for, takes the store.
      _refused ->
        with {:ok, service} <- Store.service(log.store),
             do: Store.ready(service, fn -> staged(handle, lsn, records, meta) end)
    end
  end

  defp staged(handle, lsn, records, meta) do
    case Native.store_append(handle, lsn, records, meta) do
      :oversized -> Native.store_append_dirty(handle, lsn, records, meta)
      answer -> answer
    end
  end

  ## Reading

  @doc """
  The records above `after_offset`, up to and with `upto` (`:end` for all).

  Gives one page and `:done`, or `{:more, offset}` with the offset to go on after. A reader, from `reader/2` or `Racefree.Store.snapshot/3`, reads the same way.

  #{Options.docs(@read_options)}
  """
  @spec read(t | Reader.t(), offset, offset | :end,
          level: level,
          limit: pos_integer,
          bytes: pos_integer
        ) ::
          page | {:error, unreadable}
  def read(log, after_offset, upto \\ :end, options \\ [])

  def read(%__MODULE__{handle: handle}, after_offset, upto, options) do
    range = range(after_offset, upto, options)

    case Native.store_read(handle, range) do
      again when again in [:cold, :oversized] -> answer(Native.store_read_dirty(handle, range))
      answer -> answer(answer)
    end
  end

  def read(%Reader{handle: handle}, after_offset, upto, options) do
    range = range(after_offset, upto, options)

    case Native.store_reader_read(handle, range) do
      again when again in [:cold, :oversized] ->
        answer(Native.store_reader_read_dirty(handle, range))

      answer ->
        answer(answer)
    end
  end

  defp range(after_offset, upto, options) do
    {level, limit, bytes} = chosen(options, options)
    upto = if upto == :end, do: @last, else: Arguments.offset!(upto)
    {Arguments.offset!(after_offset), upto, level, {limit, bytes}}
  end

  # `Options.check!/2` for what it would let through, at a tenth of its cost, which is that of a read; the rest it refuses.
  defp chosen([], _all), do: {:visible, @records_max, @bytes_max}

  defp chosen([{:level, level} | rest], all) when level in [:visible, :durable],
    do: rest |> chosen(all) |> put_elem(0, level)

  defp chosen([{:limit, limit} | rest], all) when is_integer(limit) and limit > 0,
    do: rest |> chosen(all) |> put_elem(1, min(limit, @number_max))

  defp chosen([{:bytes, bytes} | rest], all) when is_integer(bytes) and bytes > 0,
    do: rest |> chosen(all) |> put_elem(2, min(bytes, @number_max))

  defp chosen(_wrong, all), do: Options.check!(all, @read_options)

  defp answer({:ok, records, next, _lsn}), do: {:ok, records, next}
  defp answer({:error, _reason} = error), do: error

  @doc "One state of the log, to read as often as needed. It keeps its memory and files alive until it is garbage."
  @spec reader(t, level) :: {:ok, Reader.t()} | {:error, unreadable}
  def reader(%__MODULE__{handle: handle} = log, level \\ :visible) do
    with {:ok, reader, lsn} <- Native.store_reader(handle, Arguments.level!(level)),
         do: {:ok, %Reader{log: log, lsn: lsn, handle: reader}}
  end

  @doc """
  The records above `after_offset`, up to and with `upto`, as a stream over one state of the log, taken when the stream begins. Raises `Racefree.Error` where `read/4` gives an error.

  #{Options.docs(@stream_options)}
  """
  @spec stream(t, offset, keyword) :: Enumerable.t()
  def stream(%__MODULE__{} = log, after_offset \\ {0, 0}, options \\ []) do
    # Here and not when it runs, which may be elsewhere: the call that is wrong raises.
    after_offset = Arguments.offset!(after_offset)
    %{upto: upto, level: level} = Options.check!(options, @stream_options)
    upto = Arguments.upto!(upto)
    options = Keyword.delete(options, :upto)

    Stream.resource(
      fn ->
        case reader(log, level) do
          {:ok, reader} -> {reader, after_offset}
          {:error, reason} -> fail(log, reason)
        end
      end,
      fn
        :done ->
          {:halt, :done}

        {reader, from} ->
          case read(reader, from, upto, options) do
            {:ok, records, :done} -> {records, :done}
            {:ok, records, {:more, next}} -> {records, {reader, next}}
            {:error, reason} -> fail(log, reason)
          end
      end,
      fn _state -> :ok end
    )
  end

  defp fail(log, reason),
    do:
      raise(Racefree.Error, operation: :stream, registry: log.store, key: log.key, reason: reason)

  @doc "The log's meta and the transaction that set it; `nil` if none did."
  @spec meta(t | Reader.t(), level) :: {:ok, {Store.lsn(), binary} | nil} | {:error, unreadable}
  def meta(log, level \\ :visible)

  def meta(%__MODULE__{handle: handle}, level),
    do: Native.store_meta(handle, Arguments.level!(level))

  def meta(%Reader{handle: handle}, level) do
    # A reader stands where it stands.
    _ = Arguments.level!(level)
    Native.store_reader_meta(handle)
  end

  ## Giving space back

  @doc "Forgets the records up to and with `upto`, as far as they are committed. Durable when it returns `:ok`. Readers that have begun go on."
  @spec trim(t, offset, timeout) :: :ok | {:error, :timeout | Store.no_log()}
  def trim(%__MODULE__{handle: handle}, upto, timeout \\ 5_000) do
    upto = Arguments.offset!(upto)
    timeout = Arguments.timeout!(timeout)

    durably(fn -> Native.store_trim(handle, upto) end, timeout)
  end

  @doc "The lowest offset to read after: what lies at or below it is trimmed."
  @spec trimmed(t) :: offset | {:error, Store.down()}
  def trimmed(%__MODULE__{handle: handle}), do: Native.store_trimmed(handle)

  @doc """
  The first half of a removal: from its return, appends and new reads get `{:error, :removed}`, and the key cannot be made anew; durable when it returns `{:ok, removal}`.
  `finish_remove/2` is the second half. After `{:error, :timeout}` it may have begun and not be durable yet, which `Racefree.Store.removal/2` tells; a restart before `finish_remove/2`
  leaves it begun, and `Racefree.Store.removal/2` goes on with it.
  """
  @spec begin_remove(t, timeout) :: {:ok, LogRemoval.t()} | {:error, :timeout | Store.no_log()}
  def begin_remove(%__MODULE__{handle: handle} = log, timeout \\ 5_000) do
    timeout = Arguments.timeout!(timeout)

    case durably(fn -> Native.store_begin_remove(handle) end, timeout) do
      {:error, _reason} = error -> error
      removal -> {:ok, %LogRemoval{store: log.store, key: log.key, handle: removal}}
    end
  end

  @doc "Gives key and space free. Durable when it returns `:ok`."
  @spec finish_remove(LogRemoval.t(), timeout) ::
          :ok | {:error, :stale | :timeout | Store.no_log()}
  def finish_remove(%LogRemoval{handle: handle}, timeout \\ 5_000) do
    timeout = Arguments.timeout!(timeout)

    durably(fn -> Native.store_finish_remove(handle) end, timeout)
  end

  # Waits first until there is room for the change, then until it is durable.
  defp durably(change, timeout) do
    deadline = if timeout != :infinity, do: System.monotonic_time(:millisecond) + timeout

    case change.() do
      {:busy, service} ->
        with {:ok, _written} <- Store.await(service, :ready, timeout),
             do: durably(change, left(deadline))

      {:ok, service, sequence, result} ->
        with {:ok, _sequence} <- Store.await(service, {:sequence, sequence}, left(deadline)),
             do: result

      {:error, _reason} = error ->
        error
    end
  end

  defp left(nil), do: :infinity
  defp left(deadline), do: max(deadline - System.monotonic_time(:millisecond), 0)

  defimpl Inspect do
    def inspect(log, options),
      do:
        Inspect.Algebra.concat([
          "#Racefree.Log<",
          Inspect.Algebra.to_doc(log.key, options),
          " in ",
          Inspect.Algebra.to_doc(log.store, options),
          ">"
        ])
  end
end
