defmodule Racefree.Bench.LossyBuffer do
  @moduledoc """
  A storage buffer as one writes it with ETS and a file, and as it loses reads.

  Records are numbered from 1. New ones are rows of a table; a flush appends them to a file, syncs it, moves the position that says where the file ends, and deletes the rows. A reader takes
  the positions, and reads from the file what lies at or below the flushed position and from the table what lies above. Each step is correct; the reader's are two. When a flush runs between
  them, the rows that the reader goes for are gone, and it gets less than the positions promised, or nothing, without an error.

  There is one writer. All records have one size, so that a number says where in the file a record is.
  """

  @enforce_keys [:table, :path, :record_bytes]
  defstruct [:table, :path, :record_bytes]

  @doc "An empty buffer over the file at `path`. The table belongs to the calling process."
  def open(path, record_bytes) do
    File.write!(path, "")
    table = :ets.new(:lossy_buffer, [:ordered_set, :public, read_concurrency: true])
    :ets.insert(table, {:positions, 0, 0})
    %__MODULE__{table: table, path: path, record_bytes: record_bytes}
  end

  @doc "The file, as the writer needs it."
  def open_for_writing(buffer), do: :file.open(buffer.path, [:append, :raw, :binary])

  @doc "The file, as each reader needs it."
  def open_for_reading(buffer), do: :file.open(buffer.path, [:read, :raw, :binary])

  @doc "Adds a record; readers see it at once. Gives its number."
  def append(%{table: table, record_bytes: size}, payload) when byte_size(payload) == size do
    [{:positions, flushed, last}] = :ets.lookup(table, :positions)
    true = :ets.insert(table, {last + 1, payload})
    true = :ets.insert(table, {:positions, flushed, last + 1})
    last + 1
  end

  @doc "Moves what is in the table to the file."
  def flush(%{table: table}, file) do
    [{:positions, flushed, last}] = :ets.lookup(table, :positions)

    :ok =
      :file.write(
        file,
        for(number <- (flushed + 1)..last//1, do: :ets.lookup_element(table, number, 2))
      )

    :ok = :file.datasync(file)
    true = :ets.insert(table, {:positions, last, last})
    for number <- (flushed + 1)..last//1, do: :ets.delete(table, number)
    :ok
  end

  @doc "The number of the last record."
  def last(%{table: table}), do: :ets.lookup_element(table, :positions, 3)

  @doc """
  The records above number `from`: `{last, numbered payloads}`, where `last` is the position up to which the reader believes to have read.

  `between` runs between its two steps, so that a test can say what happens there.
  """
  def read(buffer, file, from, between \\ fn -> :ok end) do
    [{:positions, flushed, last}] = :ets.lookup(buffer.table, :positions)
    between.()
    {last, from_file(buffer, file, from, flushed) ++ from_table(buffer, max(from, flushed), last)}
  end

  defp from_file(_buffer, _file, from, flushed) when from >= flushed, do: []

  defp from_file(%{record_bytes: size}, file, from, flushed) do
    {:ok, bytes} = :file.pread(file, from * size, (flushed - from) * size)
    Enum.zip((from + 1)..flushed, for(<<payload::binary-size(size) <- bytes>>, do: payload))
  end

  # In a match specification a key that is no number is above all numbers.
  defp from_table(%{table: table}, from, last),
    do:
      :ets.select(table, [
        {{:"$1", :"$2"}, [{:>, :"$1", from}, {:"=<", :"$1", last}], [{{:"$1", :"$2"}}]}
      ])
end
