defmodule Racefree.Registry.Multicall do
  # Many requests at once, one outcome for each. The caller itself sends and collects: a process in between would cost two more copies of everything.
  @moduledoc false

  alias Racefree.Registry

  @spec run(Registry.name(), [{Registry.key(), term}], Registry.moment()) :: [
          {Registry.key(), Registry.outcome()}
        ]
  def run(registry, requests, until) do
    # One address for all replies. It is new, so a receive that wants it looks at no message that came before.
    replies = :erlang.alias([:explicit_unalias])

    {outcomes, asked, count} =
      Enum.reduce(requests, {%{}, [], 0}, &ask(registry, replies, &1, &2))

    outcomes = collect(replies, until, asked, outcomes, count)

    requests
    |> Enum.with_index()
    |> Enum.map(fn {{key, _request}, index} -> {key, Map.get(outcomes, index, :timeout)} end)
  end

  # `asked` holds the index and the monitor of each request that was sent.
  defp ask(registry, replies, {key, request}, {outcomes, asked, index}) do
    case Registry.found(registry, key) do
      {:ok, pid, _value} when pid == self() ->
        {Map.put(outcomes, index, {:down, :calling_self}), asked, index + 1}

      {:ok, pid, _value} ->
        monitor = :erlang.monitor(:process, pid, tag: {:DOWN, replies, index})
        # The tag comes back with the reply: the monitor need not be looked up.
        tag = [[:alias | replies] | {index, monitor}]
        send(pid, {:"$gen_call", {self(), tag}, request})
        {outcomes, [{index, monitor} | asked], index + 1}

      {:error, reason} ->
        {Map.put(outcomes, index, reason), asked, index + 1}
    end
  end

  defp collect(replies, _until, _asked, outcomes, count) when map_size(outcomes) == count do
    :erlang.unalias(replies)
    flush(replies)
    outcomes
  end

  defp collect(replies, until, asked, outcomes, count) do
    receive do
      # The first word counts: a process may end after it has replied, or reply again.
      {[[:alias | ^replies] | {index, _}], _} when is_map_key(outcomes, index) ->
        collect(replies, until, asked, outcomes, count)

      {{:DOWN, ^replies, index}, _, _, _, _} when is_map_key(outcomes, index) ->
        collect(replies, until, asked, outcomes, count)

      {[[:alias | ^replies] | {index, monitor}], reply} ->
        :erlang.demonitor(monitor)
        collect(replies, until, asked, Map.put(outcomes, index, {:ok, reply}), count)

      {{:DOWN, ^replies, index}, _monitor, :process, _pid, reason} ->
        collect(replies, until, asked, Map.put(outcomes, index, Registry.down(reason)), count)
    after
      Registry.remaining(until) ->
        :erlang.unalias(replies)

        for {index, monitor} <- asked,
            not is_map_key(outcomes, index),
            do: :erlang.demonitor(monitor)

        flush(replies)
        outcomes
    end
  end

  defp flush(replies) do
    receive do
      {[[:alias | ^replies] | _tag], _reply} -> flush(replies)
      {{:DOWN, ^replies, _index}, _monitor, :process, _pid, _reason} -> flush(replies)
    after
      0 -> :ok
    end
  end
end
