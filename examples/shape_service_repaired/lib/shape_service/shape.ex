defmodule ShapeService.Shape do
  @moduledoc """
  What a client follows: all rows of a table, or those whose `column` holds a key of an inner shape.
  """

  @enforce_keys [:table]
  defstruct [:table, :column, :inner, :inner_handle]

  @type t :: %__MODULE__{
          table: String.t(),
          column: atom() | nil,
          inner: t() | nil,
          inner_handle: ShapeService.handle() | nil
        }

  @spec hash(t()) :: non_neg_integer()
  def hash(%__MODULE__{} = shape), do: :erlang.phash2({shape.table, shape.column, shape.inner})

  @spec layer(t()) :: non_neg_integer()
  def layer(%__MODULE__{inner: nil}), do: 0
  def layer(%__MODULE__{inner: inner}), do: 1 + layer(inner)

  @spec touched_by?(t(), [ShapeService.change()]) :: boolean()
  def touched_by?(%__MODULE__{} = shape, changes) do
    tables = tables(shape)
    Enum.any?(changes, fn {_op, table, _key, _row} -> table in tables end)
  end

  @doc "Whether a row of the shape's table belongs to it, given the inner shape's keys."
  @spec member?(t(), map(), MapSet.t()) :: boolean()
  def member?(%__MODULE__{inner: nil}, _row, _values), do: true
  def member?(%__MODULE__{column: column}, row, values), do: Map.get(row, column) in values

  defp tables(%__MODULE__{inner: nil, table: table}), do: [table]
  defp tables(%__MODULE__{inner: inner, table: table}), do: [table | tables(inner)]
end
