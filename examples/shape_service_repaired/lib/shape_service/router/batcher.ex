defmodule ShapeService.Router.Batcher do
  @moduledoc """
  Collects changes of the routing table, so that the router sees one update at a time however many
  shapes come and go.
  """

  use GenServer

  alias ShapeService.{Directory, Router, Shape}

  @spec add_shape(ShapeService.service(), ShapeService.handle(), Shape.t()) ::
          {:ok, ShapeService.lsn()} | {:error, :unavailable}
  def add_shape(service, handle, shape) do
    GenServer.call(name(service), {:add_shape, handle, shape}, :infinity)
  catch
    :exit, _reason -> {:error, :unavailable}
  end

  @doc "Returns when no further transaction goes to the shape."
  @spec remove_shape(ShapeService.service(), ShapeService.handle()) ::
          {:ok, ShapeService.lsn()} | {:error, :unavailable}
  def remove_shape(service, handle) do
    GenServer.call(name(service), {:remove_shape, handle}, :infinity)
  catch
    :exit, _reason -> {:error, :unavailable}
  end

  @spec routes_updated(ShapeService.service(), reference(), ShapeService.lsn()) :: :ok
  def routes_updated(service, ref, lsn) do
    GenServer.cast(name(service), {:routes_updated, ref, lsn})
  end

  def start_link(%{service: service}) do
    GenServer.start_link(__MODULE__, service, name: name(service))
  end

  def name(service), do: Directory.via(service, __MODULE__)

  @impl GenServer
  def init(service) do
    {:ok, %{service: service, to_add: %{}, to_remove: [], waiting: [], in_flight: nil}}
  end

  @impl GenServer
  def handle_call({:add_shape, handle, shape}, from, state) do
    state = %{
      state
      | to_add: Map.put(state.to_add, handle, shape),
        waiting: [from | state.waiting]
    }

    {:noreply, state, {:continue, :dispatch}}
  end

  # The answer comes when the router has acted. No consumer waits for its own removal, so the router
  # can always finish what it is handing out.
  def handle_call({:remove_shape, handle}, from, state) do
    state = %{
      state
      | to_add: Map.delete(state.to_add, handle),
        to_remove: [handle | state.to_remove],
        waiting: [from | state.waiting]
    }

    {:noreply, state, {:continue, :dispatch}}
  end

  @impl GenServer
  def handle_cast({:routes_updated, ref, lsn}, %{in_flight: {ref, waiting}} = state) do
    Enum.each(waiting, &GenServer.reply(&1, {:ok, lsn}))
    {:noreply, %{state | in_flight: nil}, {:continue, :dispatch}}
  end

  def handle_cast({:routes_updated, _ref, _lsn}, state), do: {:noreply, state}

  @impl GenServer
  def handle_continue(:dispatch, %{in_flight: nil, to_add: add, to_remove: remove} = state)
      when add != %{} or remove != [] do
    ref = Router.update_routes(state.service, add, remove)

    {:noreply, %{state | to_add: %{}, to_remove: [], waiting: [], in_flight: {ref, state.waiting}}}
  end

  def handle_continue(:dispatch, state), do: {:noreply, state}
end
