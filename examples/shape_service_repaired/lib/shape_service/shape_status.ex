defmodule ShapeService.ShapeStatus do
  @moduledoc "Which shapes exist. One table, read by every process of the service."

  alias ShapeService.Shape

  @spec create_table(ShapeService.service()) :: :ets.table()
  def create_table(service) do
    :ets.new(table(service), [:named_table, :public, :set, read_concurrency: true])
  end

  @spec add(ShapeService.service(), ShapeService.handle(), Shape.t()) :: :ok
  def add(service, handle, %Shape{} = shape) do
    :ets.insert(table(service), [
      {handle, shape, Shape.hash(shape)},
      {{:hash, Shape.hash(shape)}, handle}
    ])

    :ok
  end

  @spec fetch_shape(ShapeService.service(), ShapeService.handle()) :: {:ok, Shape.t()} | :error
  def fetch_shape(service, handle) do
    case lookup(service, handle) do
      [{_handle, shape, _hash}] -> {:ok, shape}
      [] -> :error
    end
  end

  @spec fetch_handle(ShapeService.service(), Shape.t()) :: {:ok, ShapeService.handle()} | :error
  def fetch_handle(service, %Shape{} = shape) do
    case lookup(service, {:hash, Shape.hash(shape)}) do
      [{_hash, handle}] -> {:ok, handle}
      [] -> :error
    end
  end

  @doc "Whether `handle` still stands for `shape`."
  @spec validate(ShapeService.service(), ShapeService.handle(), Shape.t()) :: :ok | :error
  def validate(service, handle, shape) do
    case lookup(service, handle) do
      [{_handle, _shape, hash}] -> if Shape.hash(shape) == hash, do: :ok, else: :error
      [] -> :error
    end
  end

  @spec list(ShapeService.service()) :: [{ShapeService.handle(), Shape.t()}]
  def list(service) do
    :ets.select(table(service), [{{:"$1", :"$2", :_}, [], [{{:"$1", :"$2"}}]}])
  end

  @spec remove(ShapeService.service(), ShapeService.handle()) :: :ok | {:error, :unknown}
  def remove(service, handle) do
    case :ets.take(table(service), handle) do
      [{_handle, _shape, hash}] ->
        :ets.delete_object(table(service), {{:hash, hash}, handle})
        :ok

      [] ->
        {:error, :unknown}
    end
  end

  # While the service starts or stops there is no table, and so no shape.
  defp lookup(service, key) do
    :ets.lookup(table(service), key)
  rescue
    ArgumentError -> []
  end

  defp table(service), do: :"ShapeService.ShapeStatus:#{service}"
end
