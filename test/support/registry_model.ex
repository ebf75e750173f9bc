defmodule Racefree.RegistryModel do
  @moduledoc """
  One key of a registry, one operation after the other: what each may answer, and what it leaves behind.

  `step/2` gives the states in which an operation may leave the key; none means that its answer is impossible here.
  An operation without an end (`upto: :never`) has no answer; it leaves what it would have left.
  """

  @type entry ::
          :free
          | {:live, pid(), term()}
          | {:starting, pid() | :nobody}
          | {:removed, reason :: term(), remover :: pid()}
  # Who has taken a lead and not published yet is among the `leading`, also when the lead is lost.
  @type state :: {entry(), dead :: [pid()], leading :: [pid()]}

  @spec new() :: state()
  def new, do: {:free, [], []}

  @spec step(state(), Racefree.History.operation()) :: [state()]
  def step({entry, dead, leading}, %{call: {:kill, pid}}),
    do: [{orphan(entry, pid), Enum.sort([pid | dead]), List.delete(leading, pid)}]

  def step({entry, dead, leading} = state, %{call: :lead_again, process: process}) do
    if process in leading and entry in [:free, {:starting, :nobody}],
      do: [{{:starting, process}, dead, leading}],
      else: [state]
  end

  def step({entry, dead, leading} = state, %{upto: :never, process: process} = operation) do
    if process in dead,
      do: [state],
      else: [{unanswered(entry, operation, dead), dead, leads(leading, operation)}]
  end

  def step({entry, dead, leading}, operation) do
    for entry <- answered(entry, operation.call, operation.result, operation.process, dead),
        do: {entry, dead, leads(leading, operation)}
  end

  defp leads(leading, %{call: :lead, process: process}), do: Enum.sort([process | leading])

  defp leads(leading, %{call: {:publish, _pid}, process: process}),
    do: List.delete(leading, process)

  defp leads(leading, _operation), do: leading

  defp orphan({:live, pid, _value}, pid), do: :free
  defp orphan({:starting, pid}, pid), do: {:starting, :nobody}
  defp orphan(entry, _pid), do: entry

  # What a call would have done, had it been allowed to answer.
  defp unanswered(entry, %{call: call, process: process}, dead) do
    case {call, entry} do
      {{:register, value}, free} when free == :free or elem(free, 0) == :starting ->
        {:live, process, value}

      {:unregister, {:live, ^process, _value}} ->
        :free

      {{:begin_remove, reason}, {:removed, _reason, remover}} ->
        if remover in dead, do: {:removed, reason, process}, else: entry

      {{:begin_remove, reason}, _present} ->
        {:removed, reason, process}

      {{:finish_remove, reason}, {:removed, reason, ^process}} ->
        :free

      {:wait, free} when free in [:free, {:starting, :nobody}] ->
        {:starting, process}

      {{:publish, pid}, {:starting, ^process}} ->
        if pid in dead, do: {:starting, :nobody}, else: {:live, pid, nil}

      _no_effect ->
        entry
    end
  end

  defp answered(entry, call, result, process, dead)

  defp answered(:free, {:register, value}, :ok, process, _dead), do: [{:live, process, value}]

  defp answered({:starting, _leader}, {:register, value}, :ok, process, _dead),
    do: [{:live, process, value}]

  defp answered(
         {:live, pid, _} = entry,
         {:register, _},
         {:error, {:already_registered, pid}},
         _process,
         _dead
       ),
       do: [entry]

  defp answered({:live, process, _value}, :unregister, :ok, process, _dead), do: [:free]
  defp answered(entry, :unregister, :ok, _process, _dead), do: [entry]

  defp answered({:live, pid, value} = entry, :lookup, {:ok, pid, value}, _process, _dead),
    do: [entry]

  defp answered(:free, :lookup, {:error, :not_found}, _process, _dead), do: [:free]

  defp answered({:starting, :nobody} = entry, :lookup, {:error, :not_found}, _process, _dead),
    do: [entry]

  defp answered({:starting, _leader} = entry, :lookup, {:error, :starting}, _process, _dead),
    do: [entry]

  defp answered({:removed, _former, remover}, {:begin_remove, reason}, :ok, process, dead) do
    if remover in dead, do: [{:removed, reason, process}], else: []
  end

  defp answered(_present, {:begin_remove, reason}, :ok, process, _dead),
    do: [{:removed, reason, process}]

  defp answered({:removed, reason, process}, {:finish_remove, reason}, :ok, process, _dead),
    do: [:free]

  defp answered(free, :lead, :ok, process, _dead) when free in [:free, {:starting, :nobody}],
    do: [{:starting, process}]

  defp answered({:starting, process}, {:publish, pid}, {:ok, pid}, process, _dead),
    do: [{:live, pid, nil}]

  defp answered({:starting, process}, {:publish, pid}, {:error, :noproc}, process, dead),
    do: if(pid in dead, do: [{:starting, :nobody}], else: [])

  defp answered(
         {:live, pid, _} = entry,
         {:publish, _},
         {:error, {:registered_by_other, pid}},
         _process,
         _dead
       ),
       do: [entry]

  # The lead was lost to a removal that is over by now.
  defp answered(entry, {:publish, _pid}, {:error, :stale}, _process, _dead), do: [entry]
  defp answered({:live, pid, _value} = entry, :wait, {:ok, pid}, _process, _dead), do: [entry]
  defp answered(entry, :wait, {:error, :timeout}, _process, _dead), do: [entry]

  defp answered(
         {:removed, reason, _remover} = entry,
         _call,
         {:error, {:removed, reason}},
         _process,
         _dead
       ),
       do: [entry]

  defp answered(_entry, _call, _result, _process, _dead), do: []
end
