defmodule Racefree.StoreHalt do
  @moduledoc """
  Halts a virtual machine while its store has something to bring to disk, and looks at what is there afterwards.

  The child commits until it sees that the durable position is behind, and halts: its flusher is in a write or a sync, or about to be.
  """

  import ExUnit.Assertions

  alias Racefree.{ChildMachine, Log, Store}

  @options [name: __MODULE__, wal_bytes_max: 4 * 1_048_576, record_bytes_max: 1_048_576]
  # A child that never finds its disk behind must come to an end all the same.
  @transactions_max 100_000

  @doc """
  One halt of a child that writes to the store in `dir`, in one of two ways: `:flush` is `System.halt/1`, `:now` does not wait for output either. Before the child is told to
  halt `disturb` may do something to the disk, and `restore`, which gets the child's number, may end that. Gives what was announced and what is there.
  """
  @spec run(Path.t(), :flush | :now, (() -> any), (non_neg_integer -> any)) ::
          {Store.lsn(), Store.lsn()}
  def run(dir, way, disturb \\ fn -> :ok end, restore \\ fn _os_pid -> :ok end) do
    port = ChildMachine.start(__MODULE__, [dir, Atom.to_string(way)])
    announced = announced(port, 0)
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    disturb.()
    ChildMachine.tell(port, "halt")
    restore.(os_pid)
    # Status 0 is neither a crash nor an abort; and it ends at all.
    assert {:ended, 0} = ChildMachine.next(port, 120_000)

    {:ok, owner} = Store.start_link([dir: dir] ++ @options)
    {:ok, %{lsn: lsn}} = Store.recovery(__MODULE__)
    assert lsn >= announced
    {:ok, log} = Store.find(__MODULE__, :log)
    assert Enum.to_list(Log.stream(log)) == for(tx <- 1..lsn, do: {{tx, 0}, payload(tx)})
    GenServer.stop(owner)
    {announced, lsn}
  end

  defp announced(port, last) do
    case ChildMachine.next(port, 120_000) do
      {:line, "durable " <> lsn} -> announced(port, max(last, String.to_integer(lsn)))
      {:line, "ready"} -> last
    end
  end

  @doc false
  def child do
    [dir, way] = Enum.map(:init.get_plain_arguments(), &List.to_string/1)
    {:ok, _} = Application.ensure_all_started(:elixir)
    {:ok, _owner} = Store.start_link([dir: dir] ++ @options)
    {:ok, log} = Store.log(__MODULE__, :log)
    {:ok, lsn} = Store.visible_lsn(__MODULE__)
    last = lsn + 50
    for tx <- (lsn + 1)..last, do: commit(log, tx)
    {:ok, durable} = Store.await_durable(__MODULE__, last, :infinity)
    IO.puts("durable #{durable}")
    # Somebody who waits for what does not come any more, and somebody who reads from files.
    spawn(fn -> Store.await_durable(__MODULE__, last + 2 * @transactions_max, :infinity) end)
    spawn(fn -> read_on(log) end)
    IO.puts("ready")
    "halt\n" = IO.gets("")
    fall_behind(log, last + 1, last + @transactions_max)
    halt(way)
  end

  defp commit(log, tx) do
    case Store.transact(__MODULE__, tx, [{log, [payload(tx)]}]) do
      :ok ->
        :ok

      {:error, {:busy, ref}} ->
        receive do
          {^ref, {:ok, _}} -> commit(log, tx)
        end
    end
  end

  defp read_on(log) do
    Enum.each(Log.stream(log), fn _ -> :ok end)
    read_on(log)
  end

  defp fall_behind(log, tx, upto) when tx <= upto do
    commit(log, tx)
    {:ok, durable} = Store.durable_lsn(__MODULE__)
    # A few at least, so that the flusher is at work by now.
    if durable == tx or rem(tx, 20) != 0,
      do: fall_behind(log, tx + 1, upto),
      else: leave_open(log, tx + 1)
  end

  # What is open is seen by nobody afterwards.
  defp leave_open(log, tx) do
    {:ok, lease} = Log.lease(log)
    _ = Log.append(lease, tx, ["never committed"])
  end

  defp halt("flush"), do: System.halt(0)
  defp halt("now"), do: :erlang.halt(0, flush: false)

  defp payload(tx), do: :binary.copy("#{tx} ", 1 + rem(tx * 7919, 3000))
end
