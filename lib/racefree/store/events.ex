defmodule Racefree.Store.Events do
  # What `Racefree.Store` tells `:telemetry`, if the host has it.
  @moduledoc false

  @doc "Whether events are to be told: asked once, when the store starts."
  @spec told?(boolean) :: boolean
  def told?(wanted), do: wanted and Code.ensure_loaded?(:telemetry)

  @spec execute(boolean, Racefree.Store.name(), atom, map, map) :: :ok
  def execute(true, store, event, measurements, metadata) do
    # `apply`, since the library is the host's and may be missing here.
    apply(:telemetry, :execute, [
      [:racefree, :store, event],
      measurements,
      Map.put(metadata, :store, store)
    ])

    :ok
  end

  def execute(false, _store, _event, _measurements, _metadata), do: :ok

  @doc "The same from a process that is not the store's, which may be gone."
  @spec execute(Racefree.Store.name(), atom, map, map) :: :ok
  def execute(store, event, measurements, metadata) do
    told =
      try do
        :ets.lookup_element(store, :events, 2)
      rescue
        ArgumentError -> false
      end

    execute(told, store, event, measurements, metadata)
  end
end
