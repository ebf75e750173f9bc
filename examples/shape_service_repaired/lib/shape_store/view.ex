defmodule ShapeStore.View do
  @moduledoc "A shape's rows, and what a transaction changes in them. Nothing here has a state or knows of a store."

  alias ShapeService.Shape

  @type rows :: %{term() => map()}

  @doc "The rows after changes."
  @spec rows(rows(), Enumerable.t()) :: rows()
  def rows(rows \\ %{}, changes) do
    Enum.reduce(changes, rows, fn
      {:delete, _table, key, _row}, rows -> Map.delete(rows, key)
      {_op, _table, key, row}, rows -> Map.put(rows, key, row)
    end)
  end

  @doc """
  What turns `rows`, those of the shape so far, into those among `candidates` that belong to it, given the inner shape's keys.
  Candidates are the rows that may have come, changed or gone, as they are now: nil if the table no longer has them.
  """
  @spec changes(Shape.t(), rows(), %{term() => map() | nil}, rows()) :: [ShapeService.change()]
  def changes(%Shape{table: table} = shape, rows, candidates, inner_rows) do
    Enum.flat_map(Enum.sort(candidates), fn {key, candidate} ->
      new = if candidate && member?(shape, candidate, inner_rows), do: candidate
      change(table, key, Map.get(rows, key), new)
    end)
  end

  defp change(_table, _key, same, same), do: []
  defp change(table, key, nil, row), do: [{:insert, table, key, row}]
  defp change(table, key, row, nil), do: [{:delete, table, key, row}]
  defp change(table, key, _old, row), do: [{:update, table, key, row}]

  @doc "Whether a row belongs to the shape, given the inner shape's rows."
  @spec member?(Shape.t(), map(), rows()) :: boolean()
  def member?(%Shape{inner: nil}, _row, _inner_rows), do: true
  def member?(%Shape{column: column}, row, inner_rows), do: is_map_key(inner_rows, Map.get(row, column))
end
