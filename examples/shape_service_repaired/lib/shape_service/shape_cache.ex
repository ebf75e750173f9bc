defmodule ShapeService.ShapeCache do
  @moduledoc "Finds or creates shapes, and starts their processes on demand."

  use GenServer

  alias ShapeService.{Consumer, ConsumerRegistry, Directory, Materializer, Router}
  alias ShapeService.{Shape, ShapeStatus, StatusMonitor, Storage}

  @type position :: {ShapeService.handle(), ShapeService.offset()}

  def start_link(%{service: service} = config) do
    GenServer.start_link(__MODULE__, config, name: name(service))
  end

  @spec get_or_create(ShapeService.service(), Shape.t()) :: {:ok, ShapeService.handle()} | {:error, term()}
  def get_or_create(service, shape) do
    with :error <- ShapeStatus.fetch_handle(service, shape) do
      call(service, {:create, shape})
    end
  end

  @doc "The shape's current handle and newest offset, given the handle that a client knows."
  @spec resolve(ShapeService.service(), ShapeService.handle(), Shape.t()) :: position() | nil
  def resolve(service, handle, shape) do
    found =
      case ShapeStatus.validate(service, handle, shape) do
        :ok -> {:ok, handle}
        :error -> ShapeStatus.fetch_handle(service, shape)
      end

    with {:ok, handle} <- found do
      {handle, service |> Storage.for_shape(handle) |> Storage.latest_offset()}
    else
      :error -> nil
    end
  end

  @doc "Waits for the first rows of a shape."
  @spec await_snapshot(ShapeService.service(), ShapeService.handle()) :: :started | {:error, term()}
  def await_snapshot(service, handle) do
    case ShapeStatus.fetch_shape(service, handle) do
      {:ok, _shape} -> service |> Consumer.whereis(handle) |> Consumer.await_snapshot()
      :error -> {:error, :unknown}
    end
  end

  @doc "Starts the consumer of a known shape, and what it depends on."
  @spec start_consumer(ShapeService.service(), ShapeService.handle()) ::
          {:ok, pid()} | {:error, :no_shape} | {:error, term()}
  def start_consumer(service, handle) do
    call(service, {:start_consumer, handle})
  end

  defp call(service, request) do
    GenServer.call(name(service), request, :infinity)
  catch
    :exit, _reason -> {:error, :unavailable}
  end

  def name(service), do: Directory.via(service, __MODULE__)

  @impl GenServer
  def init(config), do: {:ok, config, {:continue, :restore}}

  @impl GenServer
  def handle_continue(:restore, %{service: service} = state) do
    for {handle, shape} <- Storage.stored_shapes(service), do: ShapeStatus.add(service, handle, shape)

    Router.mark_ready(service, ShapeStatus.list(service))
    StatusMonitor.mark_ready(service, :cache, self())
    {:noreply, state}
  end

  @impl GenServer
  def handle_call({:create, shape}, _from, state), do: {:reply, create(shape, state), state}

  def handle_call({:start_consumer, handle}, _from, state) do
    case ShapeStatus.fetch_shape(state.service, handle) do
      {:ok, shape} -> {:reply, start_shape(handle, shape, :restore, state), state}
      :error -> {:reply, {:error, :no_shape}, state}
    end
  end

  defp create(nil, _state), do: {:ok, nil}

  defp create(%Shape{} = shape, %{service: service} = state) do
    with :error <- ShapeStatus.fetch_handle(service, shape),
         {:ok, inner_handle} <- create(shape.inner, state) do
      handle = "#{shape.table}-#{Shape.hash(shape)}-#{System.unique_integer([:positive])}"
      shape = %{shape | inner_handle: inner_handle}
      ShapeStatus.add(service, handle, shape)
      with {:ok, _pid} <- start_shape(handle, shape, :create, state), do: {:ok, handle}
    end
  end

  defp start_shape(handle, shape, action, state) do
    with :ok <- start_dependency(shape, state) do
      config = Map.merge(state, %{handle: handle, shape: shape, action: action})
      start_child({Consumer, config}, state)
    end
  end

  defp start_dependency(%Shape{inner: nil}, _state), do: :ok

  defp start_dependency(%Shape{inner_handle: inner}, %{service: service} = state) do
    with {:ok, _pid} <- ensure_consumer(inner, state),
         {:ok, _pid} <- start_child({Materializer, %{service: service, handle: inner}}, state) do
      :ok
    end
  end

  defp ensure_consumer(handle, %{service: service} = state) do
    case {ConsumerRegistry.whereis(service, handle), ShapeStatus.fetch_shape(service, handle)} do
      {nil, {:ok, shape}} -> start_shape(handle, shape, :restore, state)
      {nil, :error} -> {:error, :no_shape}
      {pid, _shape} -> {:ok, pid}
    end
  end

  defp start_child(spec, %{service: service}) do
    case DynamicSupervisor.start_child(Directory.via(service, :consumers), spec) do
      {:error, {:already_started, pid}} -> {:ok, pid}
      result -> result
    end
  end
end
