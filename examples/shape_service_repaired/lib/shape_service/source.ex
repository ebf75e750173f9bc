defmodule ShapeService.Source do
  @moduledoc """
  An in-memory database with a replication stream: transactions in order, replayed from the last
  confirmed position to whoever attaches.
  """

  use GenServer

  @spec start_link([String.t()]) :: GenServer.on_start()
  def start_link(tables), do: GenServer.start_link(__MODULE__, tables)

  @spec commit(GenServer.server(), [ShapeService.change()]) :: {:ok, ShapeService.lsn()}
  def commit(source, changes), do: GenServer.call(source, {:commit, changes})

  @doc "Makes the caller the receiver of `{:txn, txn}`, and gives what it has missed since `lsn`."
  @spec attach(GenServer.server(), ShapeService.lsn()) :: [ShapeService.txn()]
  def attach(source, lsn), do: GenServer.call(source, {:attach, lsn})

  @doc "The rows of a table as of `lsn`."
  @spec rows(GenServer.server(), String.t(), ShapeService.lsn()) :: {:ok, %{term() => map()}} | {:error, :unknown_table}
  def rows(source, table, lsn), do: GenServer.call(source, {:rows, table, lsn})

  @spec confirm(GenServer.server(), ShapeService.lsn()) :: :ok
  def confirm(source, lsn), do: GenServer.cast(source, {:confirm, lsn})

  @spec confirmed(GenServer.server()) :: ShapeService.lsn()
  def confirmed(source), do: GenServer.call(source, :confirmed)

  @impl GenServer
  def init(tables) do
    {:ok, %{tables: tables, history: [], lsn: 0, confirmed: 0, receiver: nil}}
  end

  @impl GenServer
  def handle_call({:commit, changes}, _from, state) do
    lsn = state.lsn + 1
    if is_pid(state.receiver), do: send(state.receiver, {:txn, {lsn, changes}})
    {:reply, {:ok, lsn}, %{state | lsn: lsn, history: [{lsn, changes} | state.history]}}
  end

  def handle_call({:attach, after_lsn}, {pid, _tag}, state) do
    missed = state.history |> Enum.take_while(fn {lsn, _} -> lsn > after_lsn end) |> Enum.reverse()

    {:reply, missed, %{state | receiver: pid}}
  end

  def handle_call({:rows, table, upto}, _from, state) do
    if table in state.tables do
      {:reply, {:ok, rows_at(state.history, table, upto)}, state}
    else
      {:reply, {:error, :unknown_table}, state}
    end
  end

  def handle_call(:confirmed, _from, state), do: {:reply, state.confirmed, state}

  @impl GenServer
  def handle_cast({:confirm, lsn}, state) do
    {:noreply, %{state | confirmed: max(lsn, state.confirmed)}}
  end

  defp rows_at(history, table, upto) do
    for {lsn, changes} <- Enum.reverse(history),
        lsn <= upto,
        {op, ^table, key, row} <- changes,
        reduce: %{} do
      rows -> if op == :delete, do: Map.delete(rows, key), else: Map.put(rows, key, row)
    end
  end
end
