defmodule Racefree.SchedulerWatch do
  @sample_every_ms 10
  @samples_max 6_000
  @tolerated_when_busy_ms 200

  @moduledoc """
  Tells whether our code held a scheduler for too long, by the virtual machine's own monitor (`long_schedule`).

  That monitor measures the wall clock. On a machine with other work the operating system takes the processor away in
  the middle of a slice, and any code is reported. So a report counts against us if

  - the process is the one that runs the case, or began after the case did, and
  - no thread of the virtual machine waited for a processor, at that time, for long enough to explain it, nor was the processor taken from the whole machine
    by the one that it runs on, and
  - it happens again when the case is run once more.

  Where the process was when it was put on the scheduler and taken off says nothing: a native call that takes long stands between the two, and the end of a
  process, in which ours is told of it, has no place at all.

  The second condition needs Linux, which says how long each thread waited (`schedstat`) and how much was taken (`steal` in `/proc/stat`). Where either is over
  the bound, it is wider by #{@tolerated_when_busy_ms} ms: a thread may also wait for a lock whose owner waits for a processor, which no count shows. So the watch is sharp on
  a quiet machine and blunt on a busy one; `registry_fault_test.exs` holds a scheduler for longer than that.
  """

  use GenServer

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
    {:ok, watch} = GenServer.start_link(__MODULE__, {self(), slice_ms_max})
    result = run.()

    # Order: what a process did is reported when it leaves the scheduler. So all others leave theirs, then this one, before it asks.
    :erlang.system_flag(:multi_scheduling, :block_normal)
    :erlang.system_flag(:multi_scheduling, :unblock_normal)
    :erlang.yield()
    reports = GenServer.call(watch, :reports, :infinity)
    GenServer.stop(watch)
    {result, reports}
  end

  @impl GenServer
  def init({runner, slice_ms_max}) do
    # Above those that it watches: it samples while they keep the schedulers busy.
    Process.flag(:priority, :high)
    former = :erlang.system_monitor(self(), [{:long_schedule, slice_ms_max}])
    others = Process.list() |> MapSet.new() |> MapSet.delete(runner)
    send(self(), :sample)
    {:ok, %{others: others, slice_ms_max: slice_ms_max, former: former, samples: [], reports: []}}
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
    if MapSet.member?(state.others, process) or explained?(details[:timeout], state) do
      state
    else
      %{state | reports: [{process, details} | state.reports]}
    end
  end

  # A thread that waited for a processor, or none that it could have, through the part of the slice that is over the bound.
  defp explained?(slice_ms, %{samples: [{now, last, stolen_ms} | _] = samples} = state) do
    from = now - slice_ms - 2 * @sample_every_ms

    {_at, first, stolen_before_ms} =
      Enum.find(samples, List.last(samples), fn {at, _waits, _stolen_ms} -> at <= from end)

    waited_ms =
      for({thread, wait} <- last, do: wait - Map.get(first, thread, wait))
      |> Enum.max(fn -> 0 end)
      |> div(1_000_000)

    lost_ms = waited_ms + stolen_ms - stolen_before_ms
    tolerated_ms = if lost_ms > state.slice_ms_max, do: @tolerated_when_busy_ms, else: 0
    lost_ms > 0 and lost_ms + tolerated_ms >= slice_ms - state.slice_ms_max
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
          Enum.take(
            [{System.monotonic_time(:millisecond), waits, stolen_ms()} | state.samples],
            @samples_max
          )
    }
  end

  # The eighth number of the first line, in hundredths of a second.
  defp stolen_ms do
    with {:ok, text} <- File.read("/proc/stat"),
         ["cpu", _, _, _, _, _, _, _, steal | _] <-
           text |> String.split("\n") |> hd() |> String.split(),
         do: 10 * String.to_integer(steal),
         else: (_elsewhere -> 0)
  end

  defp wait(path) do
    with {:ok, text} <- File.read(path),
         [_ran, wait, _turns] <- String.split(text),
         do: String.to_integer(wait),
         else: (_gone -> nil)
  end
end
