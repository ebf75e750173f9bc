defmodule ShapeStore.LogsTest do
  use ShapeStore.StoreCase, async: true

  @readers 4
  @transactions 500

  # Changes of one transaction to a shape that the test itself writes.
  defp transact!(store, lsn, writer, changes) do
    {:ok, [writer]} = Logs.transact(store, lsn, [{writer, {:changes, changes}}], 256)
    writer
  end

  defp shape!(store, handle) do
    {:ok, writer} = Logs.open(store, handle)
    {:ok, [writer]} = Logs.transact(store, 1, [{writer, {:snapshot, projects(), []}}], 256)
    {:ok, 1} = Store.await_durable(store, 1)
    writer
  end

  defp insert(key, row \\ %{}), do: {:insert, "projects", key, row}

  defp chunks(store, handle, from \\ :start) do
    {:ok, chunk} = Logs.read(store, handle, from)
    if chunk.complete, do: [chunk | chunks(store, handle, chunk.upto)], else: [chunk]
  end

  defp keys(chunks), do: for(chunk <- chunks, {_offset, {_op, _table, key, _row}} <- chunk.changes, do: key)

  # The store alone, without a feed.
  defp store_alone(%{store: store, dir: dir}, options \\ []) do
    start_supervised!({Store, [name: store, dir: dir] ++ Keyword.merge(small_store(), options)},
      id: store,
      restart: :temporary
    )
  end

  describe "chunks" do
    @describetag :stopped

    test "end where they ended, for all who ask, at all times", %{store: store} = context do
      store_alone(context)
      writer = shape!(store, "s")
      writer = Enum.reduce(2..40, writer, &transact!(store, &1, &2, [insert(&1), insert(-&1)]))
      {:ok, 40} = Store.await_durable(store, 40)
      before = chunks(store, "s")
      assert length(before) > 5
      assert keys(before) == Enum.flat_map(2..40, &[&1, -&1])

      # Whoever is in the middle of a chunk gets the rest of it.
      for chunk <- before, {offset, _change} <- chunk.changes, chunk.complete and offset != chunk.upto do
        assert {:ok, %{upto: upto}} = Logs.read(store, "s", offset)
        assert upto == chunk.upto
      end

      Enum.reduce(41..400, writer, &transact!(store, &1, &2, [insert(&1)]))
      :ok = stop_supervised(store)
      store_alone(context)
      complete = for chunk <- before, chunk.complete, do: Map.delete(chunk, :lsn)
      assert store |> chunks("s") |> Enum.map(&Map.delete(&1, :lsn)) |> Enum.take(length(complete)) == complete
    end

    test "rows that are written anew are for those who begin", %{store: store} = context do
      store_alone(context)
      writer = Enum.reduce(2..9, shape!(store, "s"), &transact!(store, &1, &2, [insert(&1)]))
      snapshot = {writer, {:snapshot, projects(), for(key <- 2..30, do: insert(key, %{new: true}))}}
      {:ok, [writer]} = Logs.transact(store, 10, [snapshot], 256)
      transact!(store, 11, writer, [insert(:last)])
      {:ok, 11} = Store.await_durable(store, 11)

      begun = chunks(store, "s")
      assert length(begun) > 2
      assert keys(begun) == Enum.to_list(2..30) ++ [:last]
      assert keys(chunks(store, "s", {1, 0})) == Enum.to_list(2..9) ++ [:last]

      :ok = Logs.trim(store, "s", {10, 0}, 0)
      assert chunks(store, "s") == begun
      assert {:error, {:trimmed, {10, 0}}} = Logs.read(store, "s", {5, 1})
    end

    test "rows that are written anew and fill no chunk end one all the same", %{store: store} = context do
      store_alone(context)
      writer = transact!(store, 2, shape!(store, "s"), [insert(2)])
      {:ok, [writer]} = Logs.transact(store, 3, [{writer, {:snapshot, projects(), [insert(2)]}}], 256)
      transact!(store, 4, writer, [insert(4)])
      {:ok, 4} = Store.await_durable(store, 4)

      assert store |> chunks("s", {1, 0}) |> Enum.map(&{&1.upto, keys([&1])}) == [{{3, 1}, [2]}, {{4, 1}, [4]}]
      assert store |> chunks("s") |> keys() == [2, 4]
    end

    test "end in time also if writers change", %{store: store} = context do
      store_alone(context)
      shape!(store, "s")

      for lsn <- 2..10 do
        {:ok, writer} = Logs.open(store, "s")
        transact!(store, lsn, writer, [insert(lsn, %{text: String.duplicate("x", 100)})])
      end

      {:ok, 10} = Store.await_durable(store, 10)
      assert store |> chunks("s") |> Enum.map(&length(&1.changes)) == [2, 2, 2, 2, 1]
    end

    test "that are kept are read on, and what is before them is not", %{store: store} = context do
      store_alone(context)
      Enum.reduce(2..40, shape!(store, "s"), &transact!(store, &1, &2, [insert(&1), insert(-&1)]))
      {:ok, 40} = Store.await_durable(store, 40)
      complete = for chunk <- chunks(store, "s"), chunk.complete, do: chunk
      [former, last] = Enum.take(complete, -2)

      :ok = Logs.trim(store, "s", {41, 0}, length(complete) + 1)
      assert {:ok, _first} = Logs.read(store, "s", {1, 0})
      :ok = Logs.trim(store, "s", {41, 0}, 2)
      assert {:ok, ^last} = Logs.read(store, "s", former.upto)
      [{offset, _change} | _rest] = former.changes
      assert Logs.read(store, "s", offset) == {:error, {:trimmed, former.upto}}
    end
  end

  describe "readers" do
    @describetag :stopped

    # Race 2: in the original a flush between a reader's two steps made committed records invisible.
    test "see every record, while they are flushed, merged and trimmed", %{store: store} = context do
      # Less than is written: the writer cannot end before records have moved from memory to files.
      store_alone(context, memory_bytes_max: 262_144)
      writer = shape!(store, "s")
      # Per reader, the last key that it has seen.
      seen = :atomics.new(@readers, [])

      readers =
        for reader <- 1..@readers, do: Task.async(fn -> read_on(store, {1, 0}, 1, &:atomics.put(seen, reader, &1)) end)

      Enum.reduce(2..@transactions, writer, fn lsn, writer ->
        writer = transact!(store, lsn, writer, [insert(lsn, %{text: String.duplicate("x", 1_000)})])
        slowest = Enum.min(for reader <- 1..@readers, do: :atomics.get(seen, reader))
        # Nothing that a reader has yet to see.
        if rem(lsn, 20) == 0 and slowest > 0, do: :ok = Logs.trim(store, "s", {slowest, 0}, 0)
        writer
      end)

      assert Task.await_many(readers, 60_000) == List.duplicate(@transactions, @readers)
      assert {:error, {:trimmed, _offset}} = Logs.read(store, "s", {1, 0})
    end

    # Each key is the one after the last, or a record was missed, or came twice.
    defp read_on(_store, _from, @transactions, _tell), do: @transactions

    defp read_on(store, from, last, tell) do
      {:ok, chunk} = Logs.read(store, "s", from)

      last =
        Enum.reduce(chunk.changes, last, fn {{lsn, 1}, {:insert, _table, key, _row}}, last ->
          assert {lsn, key} == {last + 1, last + 1}
          key
        end)

      if last > 1, do: tell.(last - 1)
      unless chunk.complete, do: Store.await_durable(store, min(last + 1, @transactions))
      read_on(store, chunk.upto, last, tell)
    end

    test "of a second instance see what is durable, and write nothing", %{store: store, dir: dir} = context do
      store_alone(context)
      writer = Enum.reduce(2..50, shape!(store, "s"), &transact!(store, &1, &2, [insert(&1)]))
      {:ok, 50} = Store.await_durable(store, 50)
      second = start_supervised!({Store, name: :"#{store}.second", dir: dir, read_only: true})
      {:ok, durable} = Store.durable_lsn(:"#{store}.second")

      # The first goes on, and neither is in the other's way.
      transact!(store, 51, writer, [insert(51)])
      assert keys(chunks(:"#{store}.second", "s")) == Enum.to_list(2..durable//1)
      assert {:ok, ^durable, [rows]} = Logs.views(:"#{store}.second", ["s"])
      assert map_size(rows) == durable - 1
      assert {:error, :read_only} = Logs.open(:"#{store}.second", "s")
      GenServer.stop(second)
      assert keys(chunks(store, "s")) |> List.first() == 2
    end

    test "stream a shape lazily", %{store: store} = context do
      store_alone(context)
      Enum.reduce(2..50, shape!(store, "s"), &transact!(store, &1, &2, [insert(&1)]))
      {:ok, 50} = Store.await_durable(store, 50)
      {:ok, stream} = Logs.stream(store, "s")

      assert Enum.map(stream, fn {{lsn, 1}, {:insert, _table, key, _row}} when lsn == key -> key end) ==
               Enum.to_list(2..50)
    end
  end

  describe "writers" do
    @describetag :stopped

    test "there is one of each shape", %{store: store} = context do
      store_alone(context)
      first = shape!(store, "s")
      second = fn -> with {:ok, writer} <- Logs.open(store, "s"), do: transact!(store, 2, writer, [insert(2)]) end
      second |> Task.async() |> Task.await()

      assert Logs.transact(store, 3, [{first, {:changes, [insert(3)]}}], 256) == {:error, :fenced}
      {:ok, 2} = Store.await_durable(store, 2)
      assert keys(chunks(store, "s")) == [2]
    end

    test "a transaction that has been is refused, and changes nothing", %{store: store} = context do
      store_alone(context)
      writer = transact!(store, 2, shape!(store, "s"), [insert(2)])
      assert Logs.transact(store, 2, [{writer, {:changes, [insert(2)]}}], 256) == {:error, {:already, 2}}
    end
  end

  describe "what is left half done" do
    @describetag :stopped

    test "a removal is finished by whoever comes next", %{store: store} = context do
      for cut <- [:nothing, :changes, :ends] do
        store_alone(context)
        if cut == :nothing, do: shape!(store, "kept")
        {:ok, lsn} = Store.visible_lsn(store)
        {:ok, writer} = Logs.open(store, "gone")
        {:ok, _writers} = Logs.transact(store, lsn + 1, [{writer, {:snapshot, projects(), []}}], 256)

        {:ok, _removal} = if cut != :nothing, do: Log.begin_remove(writer.changes.log), else: {:ok, nil}
        {:ok, _removal} = if cut == :ends, do: Log.begin_remove(writer.ends.log), else: {:ok, nil}
        if cut == :nothing, do: :ok = Logs.remove(store, "gone")
        {:ok, _durable} = Store.await_durable(store, lsn + 1)
        :ok = stop_supervised(store)

        store_alone(context)
        assert {:ok, _lsn, [{"kept", _shape, _writer, %{}}]} = Logs.restore(store)
        {:ok, keys} = Store.keys(store)
        assert Enum.sort(keys) == [changes: "kept", ends: "kept"]
        assert Logs.read(store, "gone", :start) == {:error, :not_found}
        :ok = stop_supervised(store)
      end
    end

    test "a shape whose transaction never came is taken away", %{store: store} = context do
      store_alone(context)
      {:ok, _writer} = Logs.open(store, "half")
      assert Logs.restore(store) == {:ok, 0, []}
      assert Store.keys(store) == {:ok, []}
    end
  end
end
