defmodule ShapeStore.LogsApart do
  @moduledoc """
  In the place of `ShapeStore.Logs`: logs that are written to disk each at its own pace, as the original's are. Of a shape of
  pace 3, a restart leaves what was there at the last transaction that 3 divides.

  The disk is a table of the test. With one pace for all shapes this is a store that restores one cut, as `Racefree.Store` does.
  """

  alias Racefree.Store
  alias ShapeStore.View

  def new(store, pace) do
    table = :ets.new(table(store), [:named_table, :public, :ordered_set])
    :ets.insert(table, [{:pace, pace}, {:lsn, 0}])
  end

  def open(_store, handle), do: {:ok, handle}

  def remove(store, handle) do
    :ets.delete(table(store), {:shape, handle})
    :ok
  end

  def restore(store) do
    pace = :ets.lookup_element(table(store), :pace, 2)
    lsn = :ets.lookup_element(table(store), :lsn, 2)

    cuts =
      for {handle, shape, records} <- shapes(store),
          do: cut(store, handle, shape, records, lsn - rem(lsn, pace.(shape)))

    shapes =
      for {handle, shape, records} <- shapes(store), do: {handle, shape, handle, records |> changes() |> View.rows()}

    wake(store, lsn)
    {:ok, Enum.min([lsn | cuts]), shapes}
  end

  defp cut(store, handle, shape, records, upto) do
    case Enum.filter(records, fn {{lsn, _op}, _change} -> lsn <= upto end) do
      [] -> remove(store, handle)
      kept -> :ets.insert(table(store), {{:shape, handle}, shape, kept})
    end

    upto
  end

  def transact(store, lsn, writes, _chunk_bytes) do
    for write <- writes, do: write(store, lsn, write)
    :ets.insert(table(store), {:lsn, max(lsn, :ets.lookup_element(table(store), :lsn, 2))})
    wake(store, lsn)
    {:ok, Enum.map(writes, fn {handle, _write} -> handle end)}
  end

  # Those who wait for the transaction.
  defp wake(_store, 0), do: :already
  defp wake(store, lsn), do: Store.transact(store, lsn, [])

  defp write(store, lsn, {handle, {:snapshot, shape, changes}}) do
    # The first record is there even if there are no rows. Compaction is left out: a shape that is there stays as it is.
    :ets.insert_new(table(store), {{:shape, handle}, shape, [{{lsn, 0}, nil} | numbered(lsn, changes)]})
  end

  # What a log has already counts as seen.
  defp write(store, lsn, {handle, {:changes, changes}}) do
    [{key, shape, records}] = :ets.lookup(table(store), {:shape, handle})
    {{last, _op}, _change} = List.last(records)
    if lsn > last, do: :ets.insert(table(store), {key, shape, records ++ numbered(lsn, changes)})
  end

  defp numbered(lsn, changes), do: for({change, op} <- Enum.with_index(changes, 1), do: {{lsn, op}, change})

  def read(store, handle, :start), do: read(store, handle, {0, 0})

  def read(store, handle, from) do
    case :ets.lookup(table(store), {:shape, handle}) do
      [{_key, _shape, records}] ->
        changes = for {offset, change} <- records, offset > from, change, do: {offset, change}
        {:ok, %{changes: changes, upto: changes |> Enum.map(&elem(&1, 0)) |> Enum.max(fn -> from end), complete: false}}

      [] ->
        {:error, :not_found}
    end
  end

  defp changes(records), do: for({_offset, change} <- records, change, do: change)

  defp shapes(store) do
    for {{:shape, handle}, shape, records} <- :ets.match_object(table(store), {{:shape, :_}, :_, :_}),
        do: {handle, shape, records}
  end

  defp table(store), do: Module.concat(store, "Apart")
end
