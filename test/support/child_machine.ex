defmodule Racefree.ChildMachine do
  @moduledoc """
  A virtual machine that the test may end in any way: `child/0` of a module runs in it, says lines on its standard output and hears those it is told.

  Unlike `Racefree.SecondMachine` it is a process of the system in the first place: what is asked is when it ended and with which status.
  """

  @doc "Starts one. `arguments` are what `:init.get_plain_arguments/0` gives there."
  @spec start(module, [String.t()]) :: port
  def start(module, arguments) do
    paths = for app <- [:racefree, :elixir, :logger], do: Path.join(:code.lib_dir(app), "ebin")

    Port.open({:spawn_executable, System.find_executable("erl")}, [
      :binary,
      :exit_status,
      {:line, 200},
      args:
        ["-noshell", "-pa" | paths] ++
          ["-s", inspect_module(module), "child", "-extra" | arguments]
    ])
  end

  defp inspect_module(module), do: Atom.to_string(module)

  @doc "The next thing it says, or with which status it ended. What was cut off in the middle of a line is left out."
  @spec next(port, timeout) :: {:line, String.t()} | {:ended, non_neg_integer} | :timeout
  def next(port, timeout) do
    receive do
      {^port, {:data, {:eol, line}}} -> {:line, line}
      {^port, {:data, {:noeol, _cut}}} -> next(port, timeout)
      {^port, {:exit_status, status}} -> {:ended, status}
    after
      timeout -> :timeout
    end
  end

  @doc "Gives it a line on its standard input."
  @spec tell(port, String.t()) :: true
  def tell(port, line), do: Port.command(port, [line, ?\n])

  @doc "Kills it, as the system does when there is no memory left. It may have ended by itself."
  @spec kill(port) :: :ok
  def kill(port) do
    with {:os_pid, pid} <- Port.info(port, :os_pid), do: System.cmd("kill", ["-9", "#{pid}"])
    :ok
  end
end
