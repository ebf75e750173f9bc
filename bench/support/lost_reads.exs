Code.require_file("lossy_buffer.exs", __DIR__)

defmodule Racefree.Bench.LostReads do
  @moduledoc """
  Readers that follow a log to which a writer appends, flushing as it goes: how many records they miss, on the buffer that loses reads and on `Racefree.Store`.

  A reader takes the last position, and reads from somewhat below it up to it. What it does not get was lost: there is no later read of that range. The store's writer also trims, and its
  write-ahead logs are short, so that records move to pack files and pack files are merged all the time.
  """

  alias Racefree.{Bench.LossyBuffer, Log, Store}

  @payload :binary.copy("x", 100)
  # A flush, or a transaction made durable, each.
  @batch 64
  # How far below the last position a read begins.
  @behind_max 200
  @trim_every 10_000
  @kept 5_000
  @op_max 0xFFFF_FFFF_FFFF_FFFF

  @typedoc "`refused`: the store said that the range was trimmed; that is no loss."
  @type counts :: %{
          reads: non_neg_integer,
          records: non_neg_integer,
          reads_short: non_neg_integer,
          records_lost: non_neg_integer,
          refused: non_neg_integer,
          written: non_neg_integer
        }

  @doc "Readers against the writer of the buffer, for `milliseconds`."
  @spec run_buffer(Path.t(), pos_integer, pos_integer) :: counts
  def run_buffer(dir, readers, milliseconds) do
    buffer = LossyBuffer.open(Path.join(dir, "buffer"), byte_size(@payload))

    race(
      readers,
      milliseconds,
      fn ->
        {:ok, file} = LossyBuffer.open_for_reading(buffer)

        fn ->
          from = max(LossyBuffer.last(buffer) - :rand.uniform(@behind_max), 0)
          {last, records} = LossyBuffer.read(buffer, file, from)
          {:read, from, last, Enum.map(records, &elem(&1, 0))}
        end
      end,
      fn ->
        {:ok, file} = LossyBuffer.open_for_writing(buffer)

        fn _batch ->
          for _ <- 1..@batch, do: LossyBuffer.append(buffer, @payload)
          LossyBuffer.flush(buffer, file)
          LossyBuffer.last(buffer)
        end
      end
    )
  end

  @doc "The same against a store in `dir`."
  @spec run_store(Path.t(), pos_integer, pos_integer) :: counts
  def run_store(dir, readers, milliseconds) do
    {owner, log} = open_store(dir)

    counts =
      race(
        readers,
        milliseconds,
        fn ->
          fn ->
            {:ok, last} = Store.visible_lsn(__MODULE__)
            from = max(last - :rand.uniform(@behind_max), 0)

            case Log.read(log, {from, @op_max}, {last, @op_max}) do
              {:ok, records, :done} ->
                {:read, from, last, for({{lsn, 0}, @payload} <- records, do: lsn)}

              {:error, {:trimmed, _lowest}} ->
                :refused
            end
          end
        end,
        fn ->
          fn batch ->
            first = (batch - 1) * @batch + 1
            for lsn <- first..(first + @batch - 1), do: transact(log, lsn)
            last = first + @batch - 1
            {:ok, _} = Store.await_durable(__MODULE__, last, 60_000)

            if rem(batch, div(@trim_every, @batch)) == 0,
              do: :ok = Log.trim(log, {max(last - @kept, 0), @op_max}, 60_000)

            last
          end
        end
      )

    GenServer.stop(owner, :normal, :infinity)
    counts
  end

  @doc "A read of the buffer between whose two steps a flush runs: `{expected, found}`."
  @spec force_buffer(Path.t()) :: {[pos_integer], [pos_integer]}
  def force_buffer(dir) do
    buffer = LossyBuffer.open(Path.join(dir, "buffer"), byte_size(@payload))
    {:ok, writing} = LossyBuffer.open_for_writing(buffer)
    {:ok, reading} = LossyBuffer.open_for_reading(buffer)
    for _ <- 1..@batch, do: LossyBuffer.append(buffer, @payload)

    {last, records} =
      LossyBuffer.read(buffer, reading, 0, fn -> LossyBuffer.flush(buffer, writing) end)

    {Enum.to_list(1..last), Enum.map(records, &elem(&1, 0))}
  end

  @doc """
  The same schedule on the store, where both steps of a reader can be held apart: it takes the position, all records move to files, it reads; and a state of the log taken before the
  move, read after it. `{expected, found, found in the state}`.
  """
  @spec force_store(Path.t()) :: {[pos_integer], [pos_integer], [pos_integer]}
  def force_store(dir) do
    {owner, log} = open_store(dir)
    for lsn <- 1..@batch, do: transact(log, lsn)
    {:ok, last} = Store.visible_lsn(__MODULE__)
    {:ok, reader} = Log.reader(log)
    fill(log, last + 1)
    {:ok, found, :done} = Log.read(log, {0, 0}, {last, @op_max})
    {:ok, held, :done} = Log.read(reader, {0, 0})
    GenServer.stop(owner, :normal, :infinity)
    {Enum.to_list(1..last), numbers(found), numbers(held)}
  end

  defp numbers(records), do: for({{lsn, 0}, @payload} <- records, do: lsn)

  # Writes until the first write-ahead log has become a pack file.
  defp fill(log, lsn) do
    transact(log, lsn)
    {:ok, _} = Store.await_durable(__MODULE__, lsn, 60_000)
    {:ok, info} = Store.info(__MODULE__)
    if info.pack_files == 0, do: fill(log, lsn + 1)
  end

  defp open_store(dir) do
    {:ok, owner} =
      Store.start_link(
        name: __MODULE__,
        dir: Path.join(dir, "store"),
        wal_bytes_max: 65_536,
        transaction_bytes_max: 65_536,
        record_bytes_max: 4_096,
        block_bytes_max: 1_024
      )

    {:ok, log} = Store.log(__MODULE__, :log)
    {owner, log}
  end

  defp transact(log, lsn) do
    case Store.transact(__MODULE__, lsn, [{log, [@payload]}]) do
      :ok ->
        :ok

      {:error, {:busy, ref}} ->
        receive do
          {^ref, {:ok, _}} -> transact(log, lsn)
        end
    end
  end

  ## The race

  defp race(readers, milliseconds, new_reader, new_writer) do
    deadline = System.monotonic_time(:millisecond) + milliseconds
    writer = Task.async(fn -> write(new_writer.(), 1, deadline) end)
    empty = %{reads: 0, records: 0, reads_short: 0, records_lost: 0, refused: 0}
    reading = for _ <- 1..readers, do: Task.async(fn -> read(new_reader.(), empty, deadline) end)

    reading
    |> Task.await_many(:infinity)
    |> Enum.reduce(&Map.merge(&1, &2, fn _name, a, b -> a + b end))
    |> Map.put(:written, Task.await(writer, :infinity))
  end

  # At least one batch, however short the run.
  defp write(batch, number, deadline) do
    last = batch.(number)
    if over?(deadline), do: last, else: write(batch, number + 1, deadline)
  end

  defp read(reader, counts, deadline) do
    counts = count(reader.(), counts)
    if over?(deadline), do: counts, else: read(reader, counts, deadline)
  end

  defp over?(deadline), do: System.monotonic_time(:millisecond) >= deadline

  defp count(:refused, counts), do: %{counts | refused: counts.refused + 1}

  defp count({:read, from, last, found}, counts) do
    expected = Enum.to_list((from + 1)..last//1)
    lost = length(expected -- found)
    # Nothing comes twice, in another order, or from elsewhere.
    true = found == expected -- expected -- found

    %{
      counts
      | reads: counts.reads + 1,
        records: counts.records + length(found),
        reads_short: counts.reads_short + if(lost > 0, do: 1, else: 0),
        records_lost: counts.records_lost + lost
    }
  end
end
