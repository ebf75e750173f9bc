defmodule Racefree.Error do
  @moduledoc """
  What functions of `Racefree.Registry` whose names end in `!` raise, and the streams of `Racefree.Log.stream/3`.

  `reason` is the reason that the function without a `!`, or `Racefree.Log.read/4`, returns in `{:error, reason}`; `operation` is the name of the function. Of `registry` and `store`
  that one is set in which it happened. `Exception.message/1` says what the reason means, also of an error that was made by hand:

      iex> Exception.message(%Racefree.Error{operation: :start_link, store: MyApp.Store, reason: :locked})
      "start_link in MyApp.Store: another store holds the directory"
  """

  alias Racefree.Store.Words

  defexception [:operation, :registry, :store, :key, :reason]

  @type t :: %__MODULE__{
          operation: atom,
          registry: Racefree.Registry.name() | nil,
          store: Racefree.Store.name() | nil,
          key: term,
          reason: term
        }

  @impl true
  def message(%__MODULE__{store: nil} = error) do
    "#{error.operation} of #{inspect(error.key)} in #{inspect(error.registry)}: #{describe(error.reason)}"
  end

  def message(%__MODULE__{store: store, reason: reason} = error) do
    of = if error.key == nil, do: "", else: " of #{inspect(error.key)}"
    "#{error.operation}#{of} in #{inspect(store)}: #{Words.reason(reason) || inspect(reason)}"
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
