defmodule Racefree.Removal do
  @moduledoc """
  A removal that has begun, as `Racefree.Registry.begin_remove/3` gives it, for `Racefree.Registry.finish_remove/1`.

  `owner` is the process that held the key, or `:none` if there was none that lives. Any process may finish the removal.
  """

  @enforce_keys [:registry, :key, :reason, :owner, :id]
  defstruct [:registry, :key, :reason, :owner, :id]

  @type t :: %__MODULE__{registry: atom, key: term, reason: term, owner: pid | :none, id: id}
  @opaque id :: tuple

  defimpl Inspect do
    import Inspect.Algebra

    def inspect(removal, opts) do
      fields = [
        registry: removal.registry,
        key: removal.key,
        reason: removal.reason,
        owner: removal.owner
      ]

      concat(["#Racefree.Removal<", to_doc(fields, opts), ">"])
    end
  end
end
