defmodule Racefree.Error do
  @moduledoc """
  What the functions with a `!` raise.

  `reason` is the reason that the function without a `!` returns in `{:error, reason}`; `operation` is the name of that function.
  """

  defexception [:operation, :registry, :key, :reason]

  @type t :: %__MODULE__{operation: atom, registry: atom, key: term, reason: term}

  @impl true
  def message(%__MODULE__{operation: operation, registry: registry, key: key, reason: reason}) do
    "#{operation} of #{inspect(key)} in #{inspect(registry)}: #{describe(reason)}"
  end

  defp describe(:not_found), do: "nobody holds the key"
  defp describe(:starting), do: "its process is being started"
  defp describe({:removed, reason}), do: "the key is removed (#{inspect(reason)})"
  defp describe(:registry_down), do: "the registry is not running"
  defp describe(:key_too_large), do: "the key is larger than 16 MiB"
  defp describe({:already_registered, pid}), do: "#{inspect(pid)} holds the key"

  defp describe({:registered_by_other, pid}),
    do: "another process, #{inspect(pid)}, holds the key"

  defp describe({:down, reason}), do: "the process ended (#{inspect(reason)})"
  defp describe(:timeout), do: "no answer in time"
  defp describe(:calling_self), do: "the caller itself holds the key"
  defp describe(:noproc), do: "the started process is dead"
  defp describe(:remote_pid), do: "the process is on another node"
  defp describe(reason), do: inspect(reason)
end
