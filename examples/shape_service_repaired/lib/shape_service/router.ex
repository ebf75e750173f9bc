defmodule ShapeService.Router do
  @moduledoc """
  Takes transactions from the source and hands each to the consumers of the shapes that it touches,
  inner shapes first. Tells the source how far everything is on disk.
  """

  use GenServer

  alias ShapeService.{ConsumerRegistry, Directory, Shape, Source, StatusMonitor, Trace}
  alias ShapeService.Router.Batcher

  @doc "Registers a shape; gives the position after which it receives transactions."
  defdelegate add_shape(service, handle, shape), to: Batcher

  defdelegate remove_shape(service, handle), to: Batcher

  def start_link(%{service: service} = config) do
    GenServer.start_link(__MODULE__, config, name: name(service))
  end

  @spec mark_ready(ShapeService.service(), [{ShapeService.handle(), Shape.t()}]) :: :ok
  def mark_ready(service, shapes), do: GenServer.cast(name(service), {:ready, Map.new(shapes)})

  @spec update_routes(ShapeService.service(), map(), [ShapeService.handle()]) :: reference()
  def update_routes(service, to_add, to_remove) do
    ref = make_ref()
    GenServer.cast(name(service), {:update_routes, ref, to_add, to_remove})
    ref
  end

  @doc "Tells that the log of `handle` is on disk up to `lsn`."
  @spec flushed(ShapeService.service(), ShapeService.handle(), ShapeService.lsn()) :: :ok
  def flushed(service, handle, lsn), do: GenServer.cast(name(service), {:flushed, handle, lsn})

  def name(service), do: Directory.via(service, __MODULE__)

  @impl GenServer
  def init(%{service: service, source: source}) do
    state = %{
      service: service,
      source: source,
      registry: ConsumerRegistry.new(service),
      routes: %{},
      unflushed: %{},
      lsn: Source.confirmed(source)
    }

    {:ok, state}
  end

  @impl GenServer
  def handle_cast({:ready, shapes}, state) do
    state = %{state | routes: Map.merge(shapes, state.routes)}
    missed = Source.attach(state.source, state.lsn)
    StatusMonitor.mark_ready(state.service, :router, self())
    {:noreply, Enum.reduce(missed, state, &route/2)}
  end

  def handle_cast({:update_routes, ref, to_add, to_remove}, state) do
    routes = state.routes |> Map.drop(to_remove) |> Map.merge(to_add)
    Batcher.routes_updated(state.service, ref, state.lsn)
    {:noreply, %{state | routes: routes, unflushed: Map.drop(state.unflushed, to_remove)}}
  end

  def handle_cast({:flushed, handle, lsn}, state) do
    unflushed =
      case state.unflushed do
        %{^handle => {_first, last}} when last <= lsn -> Map.delete(state.unflushed, handle)
        %{^handle => {_first, last}} -> Map.put(state.unflushed, handle, {lsn + 1, last})
        unflushed -> unflushed
      end

    {:noreply, confirm(%{state | unflushed: unflushed})}
  end

  @impl GenServer
  def handle_info({:txn, txn}, state), do: {:noreply, route(txn, state)}

  defp route({lsn, changes} = txn, state) do
    Trace.with_span("router.route", [service: state.service, lsn: lsn], fn ->
      touched = Enum.filter(state.routes, fn {_handle, shape} -> Shape.touched_by?(shape, changes) end)

      touched
      |> Enum.group_by(fn {_handle, shape} -> Shape.layer(shape) end, fn {handle, _shape} ->
        {handle, txn}
      end)
      |> Enum.sort()
      |> Enum.each(fn {_layer, events} ->
        events |> Map.new() |> ConsumerRegistry.publish(state.registry)
      end)

      state = Enum.reduce(touched, state, fn {handle, _shape}, state -> sent(handle, lsn, state) end)

      confirm(%{state | lsn: lsn})
    end)
  end

  defp sent(handle, lsn, state) do
    unflushed = Map.update(state.unflushed, handle, {lsn, lsn}, fn {first, _last} -> {first, lsn} end)

    %{state | unflushed: unflushed}
  end

  defp confirm(state) do
    first =
      state.unflushed
      |> Enum.map(fn {_handle, {first, _last}} -> first end)
      |> Enum.min(fn -> state.lsn + 1 end)

    Source.confirm(state.source, first - 1)
    state
  end
end
