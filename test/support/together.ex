defmodule Racefree.Together do
  @moduledoc "Functions that run at the same time, each in a process of its own, and what became of each."

  @type outcome :: {:value, term()} | {:ended, term()} | {:raised, term()} | :unanswered

  # Bounds a test that would hang; nothing is measured by it.
  @patience_ms 60_000

  @doc "Starts all functions at one signal and waits for all of them."
  @spec run([(() -> term())], timeout()) :: [outcome()]
  def run(functions, patience_ms \\ @patience_ms), do: functions |> start() |> await(patience_ms)

  @doc "Like `run/1`, in two parts: what the caller does in between happens at the same time too."
  @spec start([(() -> term())]) :: [{pid(), reference()}]
  def start(functions) do
    workers = for function <- functions, do: spawn_monitor(fn -> work(function) end)
    for {pid, _ref} <- workers, do: send(pid, {__MODULE__, :go})
    workers
  end

  @spec await([{pid(), reference()}], timeout()) :: [outcome()]
  def await(workers, patience_ms \\ @patience_ms) do
    for {pid, ref} <- workers do
      receive do
        {:DOWN, ^ref, :process, ^pid, {__MODULE__, outcome}} -> outcome
        {:DOWN, ^ref, :process, ^pid, reason} -> {:ended, reason}
      after
        patience_ms ->
          Process.exit(pid, :kill)
          :unanswered
      end
    end
  end

  defp work(function) do
    receive do: ({__MODULE__, :go} -> :ok)
    exit({__MODULE__, outcome(function)})
  end

  defp outcome(function) do
    {:value, function.()}
  catch
    kind, reason -> {:raised, {kind, reason}}
  end
end
