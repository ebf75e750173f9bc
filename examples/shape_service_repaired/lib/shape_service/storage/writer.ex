defmodule ShapeService.Storage.Writer do
  @moduledoc "The one writer of a log. Belongs to the shape's consumer."

  alias ShapeService.Storage

  @enforce_keys [:storage, :file, :buffer, :persisted, :seen]
  defstruct [:storage, :file, :buffer, :persisted, :seen, pending: [], pending_count: 0]

  @type t :: %__MODULE__{}
  @type error :: {:storage_failed, :file.posix() | :badarg | :terminated}

  @pending_max 256

  @spec open(Storage.t()) :: t()
  def open(%Storage{} = storage) do
    persisted = Storage.latest_offset(storage)
    file = File.open!(Storage.log_path(storage), [:append, :raw])
    buffer = :ets.new(:shape_buffer, [:ordered_set, :protected, read_concurrency: true])

    publish(%__MODULE__{
      storage: storage,
      file: file,
      buffer: buffer,
      persisted: persisted,
      seen: persisted
    })
  end

  @doc "Appends the changes of one transaction; they are readable at once, and on disk after a flush."
  @spec append(t(), ShapeService.lsn(), [ShapeService.change()]) :: {:ok, t()} | {:error, error()}
  def append(%__MODULE__{} = writer, _lsn, []), do: {:ok, writer}

  def append(%__MODULE__{buffer: buffer} = writer, lsn, changes) do
    entries = for {change, index} <- Enum.with_index(changes, 1), do: {{lsn, index}, change}
    :ets.insert(buffer, entries)

    %{
      writer
      | pending: [writer.pending | Enum.map(entries, &Storage.encode/1)],
        pending_count: writer.pending_count + length(entries),
        seen: {lsn, length(entries)}
    }
    |> publish()
    |> flush_if_full()
  end

  @spec idle?(t()) :: boolean()
  def idle?(%__MODULE__{pending_count: count}), do: count == 0

  @doc "Writes what is pending. After an error the writer must not be used further."
  @spec flush(t()) :: {:ok, t()} | {:error, error()}
  def flush(%__MODULE__{pending_count: 0} = writer), do: {:ok, writer}

  def flush(%__MODULE__{file: file, pending: pending} = writer) do
    with :ok <- :file.write(file, pending),
         :ok <- :file.datasync(file) do
      writer = %{writer | pending: [], pending_count: 0, persisted: writer.seen}
      {:ok, writer |> publish() |> clear()}
    else
      {:error, reason} -> {:error, {:storage_failed, reason}}
    end
  end

  @spec close(t()) :: :ok | {:error, error()}
  def close(%__MODULE__{} = writer) do
    result = flush(writer)
    abandon(writer)
    with {:ok, _writer} <- result, do: :ok
  end

  @doc "Closes the log without what is pending."
  @spec abandon(t()) :: :ok
  def abandon(%__MODULE__{} = writer) do
    File.close(writer.file)
    Storage.forget_metadata(writer.storage)
  end

  defp flush_if_full(%__MODULE__{pending_count: count} = writer) when count >= @pending_max, do: flush(writer)

  defp flush_if_full(writer), do: {:ok, writer}

  defp publish(%__MODULE__{} = writer) do
    Storage.publish_metadata(writer.storage, writer.buffer, writer.persisted, writer.seen)
    writer
  end

  defp clear(%__MODULE__{buffer: buffer} = writer) do
    :ets.delete_all_objects(buffer)
    writer
  end
end
