defmodule ShapeService.Storage do
  @moduledoc """
  The logs of a service: one file per shape, and before it a buffer of what is not yet on disk.

  A metadata row per open log says where which part is: `{handle, buffer, persisted, seen}`. Entries up
  to `persisted` are in the file, those up to `seen` in the buffer.
  """

  alias ShapeService.{Shape, Trace}

  @enforce_keys [:service, :handle, :dir]
  defstruct [:service, :handle, :dir]

  @type t :: %__MODULE__{
          service: ShapeService.service(),
          handle: ShapeService.handle(),
          dir: Path.t()
        }
  @type bound :: ShapeService.offset() | {:infinity, 0} | {ShapeService.lsn(), :infinity}
  @type entry :: {ShapeService.offset(), ShapeService.change()}

  @start {0, 0}
  @latest {:infinity, 0}

  @spec create_table(ShapeService.service(), Path.t()) :: :ets.table()
  def create_table(service, dir) do
    table = :ets.new(table(service), [:named_table, :public, :set, read_concurrency: true])
    :ets.insert(table, {:dir, dir})
    table
  end

  @spec for_shape(ShapeService.service(), ShapeService.handle()) :: t()
  def for_shape(service, handle) do
    %__MODULE__{service: service, handle: handle, dir: Path.join(dir(service), handle)}
  end

  @spec start_offset() :: ShapeService.offset()
  def start_offset, do: @start

  @spec latest() :: {:infinity, 0}
  def latest, do: @latest

  @doc "Remembers the shape's definition over restarts."
  @spec store_shape(t(), Shape.t()) :: :ok
  def store_shape(%__MODULE__{dir: dir}, shape) do
    File.mkdir_p!(dir)
    File.write!(Path.join(dir, "shape"), :erlang.term_to_binary(shape))
  end

  @spec stored_shapes(ShapeService.service()) :: [{ShapeService.handle(), Shape.t()}]
  def stored_shapes(service) do
    for path <- Path.wildcard(Path.join([dir(service), "*", "shape"])) do
      {path |> Path.dirname() |> Path.basename(), path |> File.read!() |> :erlang.binary_to_term()}
    end
  end

  @doc "The offset of the newest entry."
  @spec latest_offset(t()) :: ShapeService.offset()
  def latest_offset(%__MODULE__{} = storage) do
    {_buffer, _persisted, seen} = metadata(storage)
    seen
  end

  @doc "The entries after `from`, in order."
  @spec read(t(), ShapeService.offset(), bound()) :: [entry()]
  def read(%__MODULE__{} = storage, from, upto \\ @latest) do
    {buffer, persisted, seen} = metadata(storage)
    upper = min(upto, seen)
    Trace.event("storage.planned", service: storage.service, handle: storage.handle)
    tail = read_buffer(buffer, max(from, persisted), upper)

    # A flush publishes its metadata before it clears the buffer: if nothing was published since, the
    # buffer was whole.
    case metadata(storage) do
      {^buffer, ^persisted, _seen} -> read_file(storage, from, min(upper, persisted)) ++ tail
      _moved -> read(storage, from, upto)
    end
  end

  @spec publish_metadata(t(), :ets.table(), ShapeService.offset(), ShapeService.offset()) :: :ok
  def publish_metadata(%__MODULE__{service: service, handle: handle}, buffer, persisted, seen) do
    :ets.insert(table(service), {handle, buffer, persisted, seen})
    :ok
  end

  @spec forget_metadata(t()) :: :ok
  def forget_metadata(%__MODULE__{service: service, handle: handle}) do
    :ets.delete(table(service), handle)
    :ok
  end

  @doc "Deletes a shape's data."
  @spec cleanup(ShapeService.service(), ShapeService.handle()) :: :ok
  def cleanup(service, handle) do
    storage = for_shape(service, handle)
    forget_metadata(storage)
    File.rm_rf!(storage.dir)
    :ok
  end

  @spec log_path(t()) :: Path.t()
  def log_path(%__MODULE__{dir: dir}), do: Path.join(dir, "log")

  @spec encode(entry()) :: iodata()
  def encode(entry) do
    binary = :erlang.term_to_binary(entry)
    [<<byte_size(binary)::32>>, binary]
  end

  @doc "The whole entries of the log file; a torn end is left out."
  @spec file_entries(t()) :: [entry()]
  def file_entries(%__MODULE__{} = storage) do
    case File.read(log_path(storage)) do
      {:ok, bytes} -> decode(bytes)
      {:error, :enoent} -> []
    end
  end

  defp metadata(%__MODULE__{service: service, handle: handle} = storage) do
    case :ets.lookup(table(service), handle) do
      [{_handle, buffer, persisted, seen}] ->
        {buffer, persisted, seen}

      [] ->
        last = storage |> file_entries() |> last_offset()
        {nil, last, last}
    end
  end

  defp read_buffer(nil, _from, _upto), do: []

  # The buffer ends with its writer.
  defp read_buffer(buffer, from, upto) do
    :ets.select(buffer, [
      {{:"$1", :_}, [{:<, {:const, from}, :"$1"}, {:"=<", :"$1", {:const, upto}}], [:"$_"]}
    ])
  rescue
    ArgumentError -> []
  end

  defp read_file(_storage, from, upto) when upto <= from, do: []

  defp read_file(storage, from, upto) do
    for {offset, change} <- file_entries(storage),
        offset > from,
        offset <= upto,
        do: {offset, change}
  end

  defp decode(<<size::32, entry::binary-size(size), rest::binary>>), do: [:erlang.binary_to_term(entry) | decode(rest)]

  defp decode(_torn), do: []

  defp last_offset([]), do: @start
  defp last_offset(entries), do: entries |> List.last() |> elem(0)

  defp dir(service), do: :ets.lookup_element(table(service), :dir, 2)

  defp table(service), do: :"ShapeService.Storage:#{service}"
end
