defmodule Racefree.KeyHolder do
  @moduledoc """
  A process that holds a key, answers calls, and ends in any of the ways in which processes end.

  It is no GenServer, so that a thousand of them start in a moment and an end writes no crash report.
  """

  @type ending :: :kill | {:signal, term()} | {:itself, term()}

  @doc "Starts a process that has registered `key` when this returns; it ends if it could not."
  @spec start(module(), atom(), term(), term()) :: pid()
  def start(subject, reg, key, value \\ nil) do
    caller = self()

    pid =
      spawn(fn ->
        result = subject.register(reg, key, value)
        send(caller, {__MODULE__, self(), result})
        if result == :ok, do: serve()
      end)

    receive do: ({__MODULE__, ^pid, _result} -> pid)
  end

  @doc "Starts one that has registered nothing."
  @spec start_idle() :: pid()
  def start_idle, do: spawn(&serve/0)

  @doc """
  Answers requests until told otherwise.

  `{:echo, term}` is answered, `{:end, reason}` ends the process without an answer, `:hold` is kept until `:release`
  comes as a message. Other requests are answered `:ok`.
  """
  def serve(held \\ []) do
    receive do
      {:"$gen_call", from, {:echo, term}} ->
        GenServer.reply(from, term)
        serve(held)

      {:"$gen_call", _from, {:end, reason}} ->
        exit(reason)

      {:"$gen_call", from, :hold} ->
        serve([from | held])

      {:"$gen_call", from, _request} ->
        GenServer.reply(from, :ok)
        serve(held)

      :release ->
        for from <- held, do: GenServer.reply(from, :held)
        serve()

      {:run, pid, ref, function} ->
        send(pid, {ref, function.()})
        serve(held)

      {__MODULE__, :end, reason} ->
        exit(reason)

      _other ->
        serve(held)
    end
  end

  @doc "Has the process `pid` run `function`, and gives the result."
  @spec run(pid(), (() -> result)) :: result when result: term()
  def run(pid, function) do
    ref = Process.monitor(pid)
    send(pid, {:run, self(), ref, function})

    receive do
      {^ref, result} ->
        Process.demonitor(ref, [:flush])
        result

      {:DOWN, ^ref, :process, ^pid, reason} ->
        exit(reason)
    end
  end

  @doc "One of the ways in which a process ends, and the reason that others see."
  @spec random_ending() :: {ending(), seen :: term()}
  def random_ending do
    reason = Enum.random([:shutdown, {:shutdown, :suspend}, {:custom, :rand.uniform(1000)}])

    case :rand.uniform(4) do
      1 -> {:kill, :killed}
      2 -> {{:signal, reason}, reason}
      3 -> {{:itself, reason}, reason}
      4 -> {{:itself, :normal}, :normal}
    end
  end

  @doc "Starts the end; it may be seen later."
  @spec finish(pid(), ending()) :: :ok
  def finish(pid, :kill), do: Process.exit(pid, :kill) && :ok
  def finish(pid, {:signal, reason}), do: Process.exit(pid, reason) && :ok

  def finish(pid, {:itself, reason}) do
    send(pid, {__MODULE__, :end, reason})
    :ok
  end

  @doc "Ends processes and returns when their ends have been seen."
  @spec finish_all([pid()], ending()) :: :ok
  def finish_all(pids, ending \\ :kill) do
    refs = for pid <- pids, do: {Process.monitor(pid), finish(pid, ending)}
    for {ref, :ok} <- refs, do: receive(do: ({:DOWN, ^ref, :process, _pid, _reason} -> :ok))
    :ok
  end
end
