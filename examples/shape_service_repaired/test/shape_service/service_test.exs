defmodule ShapeService.ServiceTest do
  use ShapeService.ServiceCase, async: true

  test "a shape starts with the rows that exist", context do
    commit(context, [insert("projects", 1, %{name: "one"})])
    handle = subscribe!(context.service, projects())

    assert Api.view(context.service, handle) == %{1 => %{name: "one"}}
  end

  test "the same shape is shared", context do
    assert subscribe!(context.service, projects()) == subscribe!(context.service, projects())
  end

  test "changes follow, in order", context do
    handle = subscribe!(context.service, projects())
    commit(context, [insert("projects", 1), insert("projects", 2)])
    commit(context, [delete("projects", 1)])

    assert Api.read(context.service, handle) == [
             {{1, 1}, insert("projects", 1)},
             {{1, 2}, insert("projects", 2)},
             {{2, 1}, delete("projects", 1)}
           ]
  end

  test "a read spans file and buffer", context do
    handle = subscribe!(context.service, projects())
    for key <- 1..2, do: commit(context, [insert("projects", key)])
    flush(context.service, handle)
    for key <- 3..4, do: commit(context, [insert("projects", key)])

    offsets = for {{lsn, _index}, _change} <- Api.read(context.service, handle, {1, 1}), do: lsn
    assert offsets == [2, 3, 4]
  end

  test "rows follow the keys of the inner shape", context do
    commit(context, [insert("projects", 1), insert("tasks", "a", %{project: 1}), insert("tasks", "b", %{project: 2})])
    handle = subscribe!(context.service, project_tasks())
    assert Api.view(context.service, handle) == %{"a" => %{project: 1}}

    commit(context, [insert("projects", 2)])
    assert Api.view(context.service, handle) == %{"a" => %{project: 1}, "b" => %{project: 2}}

    commit(context, [delete("projects", 1)])
    assert Api.view(context.service, handle) == %{"b" => %{project: 2}}
  end

  test "clients hear of changes", %{service: service} = context do
    handle = subscribe!(service, projects())
    {:ok, _registry} = Api.listen(service, handle)
    commit(context, [insert("projects", 1)])

    assert_receive {:shape_changed, ^handle, {1, 1}}
  end

  test "a client polls with the offset that it has", %{service: service} = context do
    handle = subscribe!(service, projects())
    commit(context, [insert("projects", 1)])

    assert Api.poll(service, handle, projects(), "0_0") == {:changed, {1, 1}}
    assert Api.poll(service, handle, projects(), "1_1") == :no_change
    assert Api.poll(service, "gone", projects(), "1_1") == {:moved, handle}
  end

  test "a shape of an unknown table is refused and leaves nothing", %{service: service} do
    trace(service)
    assert {:error, _reason} = Api.subscribe(service, %Shape{table: "nothing"})
    assert_receive {:event, "cleaner.removed", _attrs, _pid}
    assert ShapeStatus.list(service) == []
  end

  test "a removed shape is gone", %{service: service} = context do
    handle = subscribe!(service, projects())
    consumer = consumer(service, handle)
    assert Api.remove(service, handle) == :ok
    commit(context, [insert("projects", 1)])

    refute Process.alive?(consumer)
    assert ShapeStatus.list(service) == []
    assert Api.remove(service, handle) == {:error, :unknown}
    assert subscribe!(service, projects()) != handle
  end

  test "removing an inner shape removes what depends on it", %{service: service} do
    handle = subscribe!(service, project_tasks())
    inner = subscribe!(service, projects())
    trace(service)
    Api.remove(service, inner)

    for removed <- [inner, handle] do
      assert_receive {:event, "cleaner.removed", [service: ^service, handle: ^removed], _pid}
    end

    assert ShapeStatus.list(service) == []
  end

  test "a suspended consumer comes back with the next change", %{service: service} = context do
    handle = subscribe!(service, projects())
    commit(context, [insert("projects", 1)])
    :ok = Consumer.stop(service, handle, {:shutdown, :suspend})
    assert consumer(service, handle) == nil

    commit(context, [insert("projects", 2)])
    assert Api.view(service, handle) == %{1 => %{}, 2 => %{}}
  end

  test "shapes survive an orderly restart", %{service: service} = context do
    handle = subscribe!(service, project_tasks())
    commit(context, [insert("projects", 1), insert("tasks", "a", %{project: 1})])
    stop_service()
    {:ok, _lsn} = Source.commit(context.source, [insert("tasks", "b", %{project: 1})])
    start_service(context)
    :sys.get_state(router(service))

    assert Api.view(service, handle) == %{"a" => %{project: 1}, "b" => %{project: 1}}
  end

  test "the source hears how far everything is on disk", %{service: service} = context do
    handle = subscribe!(service, projects())
    commit(context, [insert("projects", 1)])
    commit(context, [insert("projects", 2)])
    assert Source.confirmed(context.source) == 0

    flush(service, handle)
    :sys.get_state(router(service))
    assert Source.confirmed(context.source) == 2
  end
end
