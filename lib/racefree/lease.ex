defmodule Racefree.Lease do
  @moduledoc "The right to append to a log, from `Racefree.Log.lease/1`. It belongs to the process that took it and ends with it."

  @enforce_keys [:log, :handle]
  defstruct [:log, :handle]

  @type t :: %__MODULE__{log: Racefree.Log.t(), handle: reference}

  defimpl Inspect do
    def inspect(lease, options),
      do:
        Inspect.Algebra.concat([
          "#Racefree.Lease<",
          Inspect.Algebra.to_doc(lease.log, options),
          ">"
        ])
  end
end
