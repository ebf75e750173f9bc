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

    {outcomes, monitors, _count} =
      Enum.reduce(requests, {%{}, %{}, 0}, &ask(registry, replies, &1, &2))

    outcomes = collect(replies, until, monitors, outcomes)
    Enum.with_index(requests, fn {key, _request}, index -> {key, Map.fetch!(outcomes, index)} end)
  end

  defp ask(registry, replies, {key, request}, {outcomes, monitors, index}) do
    case Registry.lookup(registry, key) do
      {:ok, pid, _value} when pid == self() ->
        {Map.put(outcomes, index, {:down, :calling_self}), monitors, index + 1}

      {:ok, pid, _value} ->
        monitor = :erlang.monitor(:process, pid, tag: {:DOWN, replies, index})
        send(pid, {:"$gen_call", {self(), [[:alias | replies] | index]}, request})
        {outcomes, Map.put(monitors, index, monitor), index + 1}

      {:error, reason} ->
        {Map.put(outcomes, index, reason), monitors, index + 1}
    end
  end

  # `monitors` are those of the requests without an outcome.
  defp collect(replies, _until, monitors, outcomes) when monitors == %{} do
    :erlang.unalias(replies)
    flush_collected(replies)
    outcomes
  end

  defp collect(replies, until, monitors, outcomes) do
    receive do
      {[[:alias | ^replies] | index], reply} ->
        collected(replies, until, monitors, outcomes, index, {:ok, reply})

      {{:DOWN, ^replies, index}, _monitor, :process, _pid, reason} ->
        collected(replies, until, monitors, outcomes, index, {:down, reason})
    after
      Registry.remaining(until) ->
        :erlang.unalias(replies)
        Enum.each(monitors, fn {_index, monitor} -> :erlang.demonitor(monitor) end)

        outcomes =
          Enum.reduce(monitors, outcomes, fn {index, _monitor}, outcomes ->
            Map.put(outcomes, index, :timeout)
          end)

        flush_collected(replies)
        outcomes
    end
  end

  defp collected(replies, until, monitors, outcomes, index, outcome) do
    case monitors do
      %{^index => monitor} ->
        :erlang.demonitor(monitor)
        collect(replies, until, Map.delete(monitors, index), Map.put(outcomes, index, outcome))

      # The process ended after it had replied.
      _ ->
        collect(replies, until, monitors, outcomes)
    end
  end

  defp flush_collected(replies) do
    receive do
      {[[:alias | ^replies] | _index], _reply} -> flush_collected(replies)
      {{:DOWN, ^replies, _index}, _monitor, :process, _pid, _reason} -> flush_collected(replies)
    after
      0 -> :ok
    end
  end
end
