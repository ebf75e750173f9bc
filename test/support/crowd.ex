defmodule Racefree.Crowd do
  @moduledoc "A great many processes with keys that die together, in a virtual machine of their own; what is left of them."

  alias Racefree.{Registry, RegistryCase}

  @doc """
  `count` processes register a key each and die at one signal, `rounds` times. Gives for each round the milliseconds from
  the last `:DOWN` to the end of the clean-up, and what the registry and the machine hold then.
  """
  @spec die(pos_integer(), pos_integer()) :: [map()]
  def die(count, rounds) do
    {:ok, owner} = Registry.start_link(name: __MODULE__)
    results = for _round <- 1..rounds, do: live_and_die(count)
    GenServer.stop(owner)
    results
  end

  defp live_and_die(count) do
    parent = self()

    members =
      for n <- 1..count do
        spawn_monitor(fn ->
          :ok = Registry.register(__MODULE__, {:member, n}, n)
          send(parent, :registered)
          receive(do: (:die -> :ok))
        end)
      end

    for _member <- members, do: receive(do: (:registered -> :ok))
    {:ok, %{keys: ^count, processes: ^count}} = Registry.info(__MODULE__)
    for {pid, _ref} <- members, do: send(pid, :die)
    for {_pid, ref} <- members, do: receive(do: ({:DOWN, ^ref, :process, _pid, :normal} -> :ok))
    from = System.monotonic_time(:microsecond)
    RegistryCase.settle(__MODULE__)
    cleaned_ms = (System.monotonic_time(:microsecond) - from) / 1000
    {:ok, info} = Registry.info(__MODULE__)

    Map.merge(info, %{
      cleaned_ms: cleaned_ms,
      machine_bytes: machine_bytes(),
      resident_kib: resident_kib()
    })
  end

  # What the machine's allocators have given out: its own structures, monitors, environments with kept terms. Not the library's own memory.
  defp machine_bytes do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    :erlang.memory(:total)
  end

  # What the operating system says of the machine's memory, native code included. Linux only.
  defp resident_kib do
    :erlang.garbage_collect()

    with {:ok, status} <- File.read("/proc/self/status"),
         [_all, kib] <- Regex.run(~r/VmRSS:\s+(\d+) kB/, status) do
      String.to_integer(kib)
    else
      _elsewhere -> 0
    end
  end
end
