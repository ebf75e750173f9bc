defmodule ShapeService.Api do
  @moduledoc "What clients call. Offsets travel as text, `lsn_index`."

  alias ShapeService.{Cleaner, Directory, Shape, ShapeCache, Storage}

  @doc "Finds or creates a shape and waits for its first rows."
  @spec subscribe(ShapeService.service(), Shape.t()) :: {:ok, ShapeService.handle()} | {:error, term()}
  def subscribe(service, %Shape{} = shape) do
    with {:ok, handle} <- ShapeCache.get_or_create(service, shape),
         :started <- ShapeCache.await_snapshot(service, handle) do
      {:ok, handle}
    end
  end

  @doc "Makes the caller receive `{:shape_changed, handle, offset}` after each change."
  @spec listen(ShapeService.service(), ShapeService.handle()) :: {:ok, pid()} | {:error, term()}
  def listen(service, handle), do: Registry.register(Directory.clients(service), handle, nil)

  @doc "The entries of the log after an offset."
  @spec read(ShapeService.service(), ShapeService.handle(), ShapeService.offset()) :: [
          Storage.entry()
        ]
  def read(service, handle, from \\ {0, 0}) do
    service |> Storage.for_shape(handle) |> Storage.read(from)
  end

  @doc "The shape's rows, as a client sees them after it has read the whole log."
  @spec view(ShapeService.service(), ShapeService.handle()) :: %{term() => map()}
  def view(service, handle) do
    for {_offset, {op, _table, key, row}} <- read(service, handle), reduce: %{} do
      rows -> if op == :delete, do: Map.delete(rows, key), else: Map.put(rows, key, row)
    end
  end

  @doc "Whether there is anything after the offset that a client has."
  @spec poll(ShapeService.service(), ShapeService.handle(), Shape.t(), String.t()) ::
          {:changed, ShapeService.offset()}
          | {:moved, ShapeService.handle()}
          | :no_change
          | {:error, :bad_offset}
  def poll(service, handle, shape, known) do
    with {:ok, known} <- parse_offset(known) do
      case ShapeCache.resolve(service, handle, shape) do
        {^handle, latest} when latest > known -> {:changed, latest}
        {^handle, _latest} -> :no_change
        {other, _latest} -> {:moved, other}
        nil -> :no_change
      end
    end
  end

  @spec remove(ShapeService.service(), ShapeService.handle()) :: :ok | {:error, :unknown | :unavailable}
  def remove(service, handle), do: Cleaner.remove(service, handle)

  defp parse_offset(text) do
    with {lsn, "_" <> rest} <- Integer.parse(text),
         {index, ""} <- Integer.parse(rest) do
      {:ok, {lsn, index}}
    else
      _malformed -> {:error, :bad_offset}
    end
  end
end
