defmodule Racefree.Subscription do
  @moduledoc """
  A subscription to the process that holds a key, as `Racefree.Registry.subscribe/2` and `Racefree.Registry.call_monitored/4` give it.

  It belongs to the process that subscribed. `ref` is the tag of what comes: `{Racefree.Registry, ref, message}` for each broadcast, and
  `{:DOWN, ref, :process, pid, reason}` once, when the process ends. `value` is the key's value at the time of subscribing.
  """

  @enforce_keys [:registry, :key, :ref, :pid, :value, :id]
  defstruct [:registry, :key, :ref, :pid, :value, :id]

  @type t :: %__MODULE__{registry: atom, key: term, ref: reference, pid: pid, value: term, id: id}
  @opaque id :: tuple

  defimpl Inspect do
    import Inspect.Algebra

    def inspect(subscription, opts) do
      fields = [
        registry: subscription.registry,
        key: subscription.key,
        ref: subscription.ref,
        pid: subscription.pid
      ]

      concat(["#Racefree.Subscription<", to_doc(fields, opts), ">"])
    end
  end
end
