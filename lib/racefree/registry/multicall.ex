defmodule Racefree.Registry.Multicall do
  # Many requests at once, one outcome for each. The caller itself sends and collects: a process in between would cost two more copies of everything.
  @moduledoc false

  alias Racefree.Registry

  @spec run(Registry.name(), [{Registry.key(), term}], Registry.moment()) ::
          [{Registry.key(), Registry.outcome()}]
  def run(registry, requests, until) do
    # One address for all replies. It is new, so a receive that wants it looks at no message that came before.
    replies = :erlang.alias([:explicit_unalias])
    {outcomes, asked, next} = Enum.reduce(requests, {[], [], 1}, &ask(registry, replies, &1, &2))

    # One flag for each request: the first word counts, for a process may end after it has replied, or reply twice.
    answered = :atomics.new(next, [])
    outcomes = collect(replies, until, answered, asked, outcomes, length(asked))
    merge(requests, List.keysort(outcomes, 0), 1)
  end

  # `asked` holds the index and the monitor of each request that was sent.
  defp ask(registry, replies, {key, request}, {outcomes, asked, index}) do
    case Registry.reach(registry, key) do
      {:ok, pid} when pid == self() ->
        {[{index, {:down, :calling_self}} | outcomes], asked, index + 1}

      {:ok, pid} ->
        monitor = :erlang.monitor(:process, pid, tag: {:DOWN, replies, index})
        # The tag comes back with the reply: the monitor need not be looked up.
        tag = [[:alias | replies] | {index, monitor}]
        send(pid, {:"$gen_call", {self(), tag}, request})
        {outcomes, [{index, monitor} | asked], index + 1}

      {:error, reason} ->
        {[{index, reason} | outcomes], asked, index + 1}
    end
  end

  defp collect(replies, _until, _answered, _asked, outcomes, 0) do
    :erlang.unalias(replies)
    flush(replies)
    outcomes
  end

  defp collect(replies, until, answered, asked, outcomes, left) do
    receive do
      {[[:alias | ^replies] | {index, monitor}], reply} ->
        case :atomics.exchange(answered, index, 1) do
          0 ->
            :erlang.demonitor(monitor)
            outcomes = [{index, {:ok, reply}} | outcomes]
            collect(replies, until, answered, asked, outcomes, left - 1)

          1 ->
            collect(replies, until, answered, asked, outcomes, left)
        end

      {{:DOWN, ^replies, index}, _monitor, :process, _pid, reason} ->
        case :atomics.exchange(answered, index, 1) do
          0 ->
            outcomes = [{index, {:down, reason}} | outcomes]
            collect(replies, until, answered, asked, outcomes, left - 1)

          1 ->
            collect(replies, until, answered, asked, outcomes, left)
        end
    after
      Registry.remaining(until) ->
        :erlang.unalias(replies)

        for {index, monitor} <- asked,
            :atomics.get(answered, index) == 0,
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

  # Who has no outcome has not answered in time.
  defp merge([], [], _index), do: []

  defp merge([{key, _request} | requests], [{index, outcome} | outcomes], index) do
    [{key, outcome} | merge(requests, outcomes, index + 1)]
  end

  defp merge([{key, _request} | requests], outcomes, index) do
    [{key, :timeout} | merge(requests, outcomes, index + 1)]
  end
end
