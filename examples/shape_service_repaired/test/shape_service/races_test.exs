defmodule ShapeService.RacesTest do
  @moduledoc "Each test forces the schedule that used to lose, and shows that nothing is lost."

  use ShapeService.ServiceCase, async: true

  alias ShapeService.{Directory, ShapeCache}
  alias ShapeService.Storage.Writer

  @suspend {:shutdown, :suspend}

  describe "startup" do
    setup :tasks_of_projects

    test "the inner consumer ends while the materializer attaches", %{service: service} = context do
      outer = Process.monitor(consumer(service, context.outer))
      :ok = Consumer.stop(service, context.inner, @suspend)
      assert_receive {:DOWN, ^outer, :process, _pid, @suspend}

      trace(service, "materializer.attach")
      {:ok, consumer} = ShapeCache.start_consumer(service, context.outer)
      assert_receive {:event, "materializer.attach", _attrs, materializer}
      [outer, inner] = Enum.map([consumer, materializer], &Process.monitor/1)

      :ok = Consumer.stop(service, context.inner, @suspend)
      trace(service)
      release(materializer, "materializer.attach")

      assert_receive {:DOWN, ^inner, :process, _pid, :shutdown}
      assert_receive {:DOWN, ^outer, :process, _pid, @suspend}
      assert_kept(context, context.outer)
    end
  end

  describe "removal" do
    test "a transaction is on its way to a shape that is being removed", %{service: service} = context do
      removed = subscribe!(service, projects())
      other = subscribe!(service, %Shape{table: "tasks"})
      [router, consumer] = [router(service), consumer(service, other)]
      refs = Enum.map([router, consumer], &Process.monitor/1)

      :sys.suspend(router)
      {:ok, _lsn} = Source.commit(context.source, [insert("projects", 1), insert("tasks", "a")])
      trace(service)
      remover = Task.async(fn -> Api.remove(service, removed) end)
      assert_receive {:event, "cleaner.route", _attrs, _pid}
      :sys.resume(router)

      assert Task.await(remover) == :ok
      assert ShapeStatus.list(service) == [{other, %Shape{table: "tasks"}}]
      assert Api.view(service, other) == %{"a" => %{}}
      for ref <- refs, do: refute_received({:DOWN, ^ref, :process, _pid, _reason})
    end
  end

  describe "storage" do
    test "a flush comes between a reader's two looks", %{service: service} = context do
      handle = subscribe!(service, projects())
      commit(context, [insert("projects", 1)])

      trace(service, "storage.planned")
      reader = Task.async(fn -> Api.read(service, handle) end)
      assert_receive {:event, "storage.planned", _attrs, pid}
      flush(service, handle)
      release(pid, "storage.planned")

      assert Task.await(reader) == [{{1, 1}, insert("projects", 1)}]
      assert Api.read(service, handle) == [{{1, 1}, insert("projects", 1)}]
    end

    test "the disk takes no more", %{service: service} = context do
      handle = subscribe!(service, projects())
      storage = %{Storage.for_shape(service, handle) | handle: "copy"}
      writer = Writer.open(storage)
      writer = %{writer | file: File.open!(Storage.log_path(storage), [:read, :raw])}
      {:ok, writer} = Writer.append(writer, 1, [insert("projects", 1)])
      assert [_entry] = Storage.read(storage, {0, 0})

      assert Writer.flush(writer) == {:error, {:storage_failed, :ebadf}}
      assert [_entry] = Storage.read(storage, {0, 0})
      assert commit(context, []) == 1
    end
  end

  describe "shutdown" do
    setup :tasks_of_projects

    test "a materializer is killed while its consumer calls it", %{service: service} = context do
      consumer = Process.monitor(consumer(service, context.inner))
      trace(service, "materializer.new_changes")
      {:ok, _lsn} = Source.commit(context.source, [insert("projects", 3)])
      assert_receive {:event, "materializer.new_changes", _attrs, materializer}
      trace(service)
      Process.exit(materializer, :kill)

      assert_receive {:DOWN, ^consumer, :process, _pid, @suspend}
      assert_kept(context, context.inner)
    end

    test "a materializer is killed while a dependent shape calls it", %{service: service} = context do
      consumer = Process.monitor(consumer(service, context.outer))
      trace(service, "materializer.link_values")
      {:ok, _lsn} = Source.commit(context.source, [insert("tasks", "c", %{project: 1})])
      assert_receive {:event, "materializer.link_values", _attrs, materializer}
      trace(service)
      Process.exit(materializer, :kill)

      assert_receive {:DOWN, ^consumer, :process, _pid, @suspend}
      assert_kept(context, context.outer)
      assert Api.view(service, context.outer) == %{"a" => %{project: 1}, "c" => %{project: 1}}
    end

    test "a consumer is killed while a client waits for it", %{service: service} = context do
      consumer = consumer(service, context.outer)
      :sys.suspend(consumer)
      {waiter, ref} = spawn_monitor(fn -> exit({:result, ShapeCache.await_snapshot(service, context.outer)}) end)
      wait_for_message(consumer)
      Process.exit(consumer, :kill)

      assert_receive {:DOWN, ^ref, :process, ^waiter, {:result, {:error, :unavailable}}}
    end

    test "a malformed offset is not taken for silence", %{service: service} = context do
      assert Api.poll(service, context.inner, projects(), "0-0") == {:error, :bad_offset}
    end
  end

  describe "status" do
    setup do
      service = "status-#{System.unique_integer([:positive])}"
      start_supervised!({Registry, keys: :unique, name: Directory.processes(service)})
      {:ok, service: service}
    end

    test "the monitor is killed while somebody waits", %{service: service} do
      monitor = start_supervised!({StatusMonitor, %{service: service}}, restart: :temporary)
      {waiter, ref} = spawn_monitor(fn -> exit({:result, StatusMonitor.wait_until_up(service)}) end)
      wait_for_waiter(monitor)
      Process.exit(monitor, :kill)

      assert_receive {:DOWN, ^ref, :process, ^waiter, {:result, {:error, {:killed, _call}}}}
    end

    test "the monitor is not there", %{service: service} do
      assert StatusMonitor.notify_when_up(service) == {:error, :not_running}
    end
  end

  describe "restart" do
    setup :tasks_of_projects

    test "the inner log is ahead of the outer one", %{service: service} = context do
      commit(context, [insert("projects", 2)])
      assert Api.view(service, context.outer) == %{"a" => %{project: 1}, "b" => %{project: 2}}
      flush(service, context.inner)
      for handle <- [context.outer, context.inner], do: kill(consumer(service, handle))
      stop_service()

      start_service(context)
      :sys.get_state(router(service))

      assert Api.view(service, context.inner) == %{1 => %{}, 2 => %{}}
      assert Api.view(service, context.outer) == %{"a" => %{project: 1}, "b" => %{project: 2}}
    end
  end

  defp tasks_of_projects(%{service: service} = context) do
    commit(context, [insert("projects", 1), insert("tasks", "a", %{project: 1}), insert("tasks", "b", %{project: 2})])
    {:ok, outer: subscribe!(service, project_tasks()), inner: subscribe!(service, projects())}
  end

  # The shape is there, and its consumer comes back when there is something to do.
  defp assert_kept(%{service: service} = context, handle) do
    assert {:ok, _shape} = ShapeStatus.fetch_shape(service, handle)
    router(service) |> :sys.get_state()
    commit(context, [insert("projects", 9), insert("tasks", "z", %{project: 9})])
    assert Enum.any?([9, "z"], &Map.has_key?(Api.view(service, handle), &1))
    commit(context, [delete("projects", 9), delete("tasks", "z", %{project: 9})])
    refute Enum.any?([9, "z"], &Map.has_key?(Api.view(service, handle), &1))
    refute_received {:event, "cleaner.removed", _attrs, _pid}
  end

  defp kill(pid) do
    ref = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^ref, :process, ^pid, :killed}
  end

  defp wait_for_message(pid) do
    if Process.info(pid, :message_queue_len) == {:message_queue_len, 0}, do: wait_for_message(pid)
  end

  defp wait_for_waiter(monitor) do
    if :sys.get_state(monitor).waiting == [], do: wait_for_waiter(monitor)
  end
end
