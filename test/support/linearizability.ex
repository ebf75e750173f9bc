defmodule Racefree.Linearizability do
  @moduledoc """
  Looks for an order of the operations that the model allows and that keeps every operation between its two ticks.

  The search of Wing and Gong: of the operations that may come next, try each; remember the pairs of operations done and
  state that led nowhere (Lowe). An operation without an end may be left out. Keys are independent, so histories are
  checked key by key.
  """

  @doc "`:ok`, or the longest prefix found together with what could not follow it."
  @spec check(module(), [Racefree.History.operation()]) :: :ok | {:error, term()}
  def check(model, operations) do
    operations = operations |> Enum.sort_by(& &1.from) |> Enum.with_index()
    table = :ets.new(:dead_ends, [])

    try do
      case search(model, operations, 0, model.new(), table) do
        true -> :ok
        false -> {:error, longest(table, operations)}
      end
    after
      :ets.delete(table)
    end
  end

  defp search(model, left, done, state, table) do
    cond do
      Enum.all?(left, fn {operation, _index} -> operation.upto == :never end) -> true
      :ets.member(table, {done, state}) -> false
      Enum.any?(next(left), &follow(model, &1, left, done, state, table)) -> true
      true -> dead_end(table, left, done, state)
    end
  end

  # Whatever began before the first end among those that are left. Numbers are below atoms: `:never` is above all ticks.
  defp next(left) do
    first_end = left |> Enum.map(fn {operation, _index} -> operation.upto end) |> Enum.min()
    Enum.take_while(left, fn {operation, _index} -> operation.from < first_end end)
  end

  defp follow(model, {operation, index} = chosen, left, done, state, table) do
    left = List.delete(left, chosen)

    Enum.any?(
      model.step(state, operation),
      &search(model, left, Bitwise.bor(done, Bitwise.bsl(1, index)), &1, table)
    )
  end

  defp dead_end(table, left, done, state) do
    :ets.insert(table, {{done, state}, length(left)})
    false
  end

  defp longest(table, operations) do
    {{done, state}, _left} = table |> :ets.tab2list() |> Enum.min_by(fn {_key, left} -> left end)

    impossible =
      for {operation, index} <- operations,
          Bitwise.band(done, Bitwise.bsl(1, index)) == 0,
          do: operation

    %{state: state, cannot_follow: Enum.take(impossible, 5), operations: length(operations)}
  end
end
