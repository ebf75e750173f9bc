defmodule ShapeStore.Client do
  @moduledoc """
  What a client of a shape has: the offset that it got last, and the rows that follow from all changes up to there.

  It believes nothing: a row that comes twice, or a change of a row that it does not have, is a mismatch.
  """

  @enforce_keys [:name, :shape]
  defstruct [:name, :shape, :handle, logs: ShapeStore.Logs, offset: :start, rows: %{}]

  @doc "Reads up to `chunks_max` chunks, or to the end."
  def follow(client, chunks_max \\ :infinity)
  def follow(client, 0), do: {:ok, client}

  def follow(%{handle: nil} = client, chunks_max) do
    {:ok, handle} = ShapeStore.subscribe(client.name, client.shape)
    follow(%{client | handle: handle, offset: :start, rows: %{}}, chunks_max)
  end

  def follow(client, chunks_max) do
    case client.logs.read(ShapeStore.store(client.name), client.handle, client.offset) do
      {:ok, chunk} ->
        with {:ok, rows} <- apply_changes(chunk.changes, client.rows) do
          client = %{client | rows: rows, offset: chunk.upto}
          if chunk.complete, do: follow(client, less(chunks_max)), else: {:ok, client}
        end

      {:error, {:trimmed, _offset}} ->
        follow(%{client | offset: :start, rows: %{}}, chunks_max)

      {:error, gone} when gone in [:not_found, :removed] ->
        follow(%{client | handle: nil}, chunks_max)
    end
  end

  defp less(:infinity), do: :infinity
  defp less(count), do: count - 1

  defp apply_changes(changes, rows) do
    Enum.reduce_while(changes, {:ok, rows}, fn {_offset, {op, _table, key, row}} = change, {:ok, rows} ->
      case {op, rows} do
        {:insert, rows} when not is_map_key(rows, key) -> {:cont, {:ok, Map.put(rows, key, row)}}
        {:update, %{^key => _old}} -> {:cont, {:ok, Map.put(rows, key, row)}}
        {:delete, %{^key => _old}} -> {:cont, {:ok, Map.delete(rows, key)}}
        _contradiction -> {:halt, {:mismatch, {change, Map.get(rows, key)}}}
      end
    end)
  end
end
