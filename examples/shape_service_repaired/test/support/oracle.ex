defmodule ShapeStore.Oracle do
  @moduledoc """
  Random transactions over several tables, clients that follow shapes by chunks, restarts of the service and of the clients; after
  each batch every client's rows are compared with those of the database.

  All choices follow from the seed. The service works in processes of its own, so what is on disk when it is killed does not.
  """

  import ShapeStore.StoreCase

  alias ShapeService.Source
  alias ShapeStore.{Client, View}

  @keys 12

  @doc "Runs so many batches. `:ok`, or the first mismatch: the batch, and what was wrong."
  def run(context, seed, batches, options \\ []) do
    :rand.seed(:exsss, {seed, 0, 0})
    shapes = [projects(), tasks(), project_tasks(), task_comments()]
    logs = Keyword.get(options, :logs, ShapeStore.Logs)
    clients = for shape <- shapes, _twice <- 1..2, do: %Client{name: context.name, shape: shape, logs: logs}

    state = %{
      context: context,
      options: options,
      service: start(context, options),
      tables: %{"projects" => %{}, "tasks" => %{}, "comments" => %{}},
      clients: clients
    }

    1..batches
    |> Enum.reduce_while(state, fn batch, state ->
      case batch(batch, state) do
        {:ok, state} -> {:cont, state}
        {:mismatch, what} -> {:halt, {:mismatch, batch, what}}
      end
    end)
    |> case do
      {:mismatch, _batch, _what} = mismatch -> mismatch
      _state -> :ok
    end
  end

  # Every third batch restarts the service before the clients have read all, every fifth the clients.
  defp batch(number, state) do
    {lsn, state} = Enum.reduce(1..:rand.uniform(4), {0, state}, fn _transaction, {_lsn, state} -> commit(state) end)

    with {:ok, state} <- follow(state, fn -> :rand.uniform(3) - 1 end) do
      disturb(:rand.uniform(12), state)
      state = if rem(number, 3) == 0, do: restart(state), else: state
      state = if rem(number, 5) == 0, do: restart_clients(state), else: state
      catch_up(lsn, state.context.name)
      with {:ok, state} <- follow(state, fn -> :infinity end), do: compare(state)
    end
  end

  defp catch_up(lsn, name) do
    # Whatever it is asked, it answers when it has handled what came before.
    {:error, :not_found} = ShapeStore.remove(name, "no such shape")
    {:ok, _durable} = ShapeStore.await(name, lsn, 60_000)
  end

  defp follow(state, chunks_max) do
    state.clients
    |> Enum.reduce_while({:ok, []}, fn client, {:ok, done} ->
      case Client.follow(client, chunks_max.()) do
        {:ok, client} -> {:cont, {:ok, [client | done]}}
        {:mismatch, what} -> {:halt, {:mismatch, {client, what}}}
      end
    end)
    |> case do
      {:ok, clients} -> {:ok, %{state | clients: Enum.reverse(clients)}}
      mismatch -> mismatch
    end
  end

  defp compare(state) do
    wrong = Enum.find(state.clients, fn client -> client.rows != expected(client.shape, state.tables) end)
    if wrong, do: {:mismatch, {wrong, expected(wrong.shape, state.tables)}}, else: {:ok, state}
  end

  defp expected(nil, _tables), do: %{}

  defp expected(shape, tables) do
    inner = expected(shape.inner, tables)
    Map.filter(tables[shape.table], fn {_key, row} -> View.member?(shape, row, inner) end)
  end

  ## What happens

  defp commit(state) do
    {changes, tables} = Enum.map_reduce(1..:rand.uniform(4), state.tables, fn _change, tables -> change(tables) end)
    {:ok, lsn} = Source.commit(state.context.source, changes)
    {lsn, %{state | tables: tables}}
  end

  defp change(tables) do
    {table, rows} = Enum.random(tables)
    key = :rand.uniform(@keys)
    row = %{project: :rand.uniform(@keys), task: :rand.uniform(@keys), text: String.duplicate("x", :rand.uniform(60))}

    case {Map.fetch(rows, key), :rand.uniform(2)} do
      {:error, _} -> {{:insert, table, key, row}, put_in(tables[table][key], row)}
      {{:ok, _old}, 1} -> {{:update, table, key, row}, put_in(tables[table][key], row)}
      {{:ok, old}, 2} -> {{:delete, table, key, old}, elem(pop_in(tables[table][key]), 1)}
    end
  end

  defp disturb(choice, %{context: %{name: name}, clients: clients}) do
    # Who has read nothing yet has no handle.
    handle = Enum.random(clients).handle

    case choice do
      _any when handle == nil -> :ok
      1 -> ShapeStore.remove(name, handle)
      few when few in 2..4 -> ShapeStore.compact(name, handle, Enum.random(0..2))
      _most -> :ok
    end
  end

  defp restart(%{context: context, options: options, service: service} = state) do
    if :rand.uniform(2) == 1, do: stop(service), else: kill(service)
    %{state | service: start(context, options)}
  end

  # Some forget what they had, the others kept it.
  defp restart_clients(state) do
    %{
      state
      | clients: Enum.map(state.clients, &if(:rand.uniform(2) == 1, do: %{&1 | offset: :start, rows: %{}}, else: &1))
    }
  end
end
