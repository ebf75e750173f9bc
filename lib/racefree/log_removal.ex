defmodule Racefree.LogRemoval do
  @moduledoc "A removal that was begun, from `Racefree.Log.begin_remove/1` or `Racefree.Store.removal/2`; `Racefree.Log.finish_remove/2` ends it."

  @enforce_keys [:store, :key, :handle]
  defstruct [:store, :key, :handle]

  @type t :: %__MODULE__{
          store: Racefree.Store.name(),
          key: Racefree.Store.key(),
          handle: reference
        }
end
