defmodule Racefree.SchedulerWatch do
  @moduledoc """
  Tells whether our code held a scheduler for too long, by the virtual machine's own monitor (`long_schedule`).

  That monitor measures the wall clock. On a machine with other work the operating system takes the processor away in
  the middle of a slice, and any code is reported. So a report counts against us if

  - the process was in a function of ours when it was put on the scheduler or taken off, and
  - no thread of the virtual machine waited for a processor, at that time, for long enough to explain it, and
  - it happens again when the case is run once more.

  The second condition needs Linux, which says how long each thread waited (`schedstat`).
  """

  use GenServer

  @sample_every_ms 10
  @samples_max 6_000

  @doc "Runs `run`, and gives its result and the reports that counted in both of two runs; the second run only if the first had some."
  @spec watch(pos_integer(), (() -> result)) :: {result, [term()]} when result: term()
  def watch(slice_ms_max, run) do
    case watch_once(slice_ms_max, run) do
      {result, []} -> {result, []}
      {_result, _reports} -> watch_once(slice_ms_max, run)
    end
  end

  @doc "One run."
  def watch_once(slice_ms_max, run) do
    {:ok, watch} = GenServer.start_link(__MODULE__, slice_ms_max)
    result = run.()
    reports = GenServer.call(watch, :reports, :infinity)
    GenServer.stop(watch)
    {result, reports}
  end

  @impl GenServer
  def init(slice_ms_max) do
    # Above those that it watches: it samples while they keep the schedulers busy.
    Process.flag(:priority, :high)
    former = :erlang.system_monitor(self(), [{:long_schedule, slice_ms_max}])
    ours = for module <- modules(), into: MapSet.new(), do: module
    send(self(), :sample)
    {:ok, %{ours: ours, slice_ms_max: slice_ms_max, former: former, samples: [], reports: []}}
  end

  @impl GenServer
  def handle_info(:sample, state) do
    Process.send_after(self(), :sample, @sample_every_ms)
    {:noreply, sample(state)}
  end

  def handle_info({:monitor, process, :long_schedule, details}, state) do
    {:noreply, judge(process, details, sample(state))}
  end

  @impl GenServer
  def handle_call(:reports, _from, state) do
    :erlang.system_monitor(nil_or(state.former))
    {:reply, state.reports, state}
  end

  defp nil_or({pid, options}) when is_pid(pid), do: {pid, options}
  defp nil_or(_none), do: :undefined

  defp judge(process, details, state) do
    places = for name <- [:in, :out], do: details[name]

    if Enum.any?(places, &ours?(&1, state.ours)) and not explained?(details[:timeout], state) do
      %{state | reports: [{process, details} | state.reports]}
    else
      state
    end
  end

  defp ours?({module, _function, _arity}, ours), do: MapSet.member?(ours, module)
  defp ours?(_unknown, _ours), do: false

  # A thread that waited for a processor through the part of the slice that is over the bound.
  defp explained?(slice_ms, %{samples: [{now, last} | _] = samples} = state) do
    from = now - slice_ms - 2 * @sample_every_ms
    {_at, first} = Enum.find(samples, List.last(samples), fn {at, _waits} -> at <= from end)

    waited_ms =
      for({thread, wait} <- last, do: wait - Map.get(first, thread, wait))
      |> Enum.max(fn -> 0 end)
      |> div(1_000_000)

    waited_ms > 0 and waited_ms >= slice_ms - state.slice_ms_max
  end

  defp sample(state) do
    waits =
      for path <- Path.wildcard("/proc/self/task/*/schedstat"),
          wait = wait(path),
          into: %{},
          do: {path, wait}

    %{
      state
      | samples:
          Enum.take([{System.monotonic_time(:millisecond), waits} | state.samples], @samples_max)
    }
  end

  defp wait(path) do
    with {:ok, text} <- File.read(path),
         [_ran, wait, _turns] <- String.split(text),
         do: String.to_integer(wait),
         else: (_gone -> nil)
  end

  # The application's modules that stand under lib/: those under test/ are not ours to defend.
  defp modules do
    {:ok, modules} = :application.get_key(:racefree, :modules)

    for module <- modules,
        source = module.module_info(:compile)[:source],
        "#{source}" =~ "/lib/racefree",
        do: module
  end
end
