defmodule ShapeService.ServiceCase do
  @moduledoc """
  A service with its source for each test, and means to stop a process at an event.

  Logs are flushed only when a test says so.
  """

  use ExUnit.CaseTemplate

  alias ShapeService.{Api, Consumer, Router, Shape, Source, Trace}

  using do
    quote do
      import ShapeService.ServiceCase

      alias ShapeService.{
        Api,
        Consumer,
        Materializer,
        Router,
        Shape,
        ShapeStatus,
        Source,
        StatusMonitor,
        Storage,
        Trace
      }
    end
  end

  setup context do
    service = "#{context.module}-#{System.unique_integer([:positive])}"
    dir = Path.join(System.tmp_dir!(), "#{service}-#{System.os_time()}")
    {:ok, source} = Source.start_link(["projects", "tasks"])
    on_exit(fn -> File.rm_rf!(dir) end)
    on_exit(fn -> Trace.detach(service) end)

    context = %{service: service, source: source, dir: dir}
    start_service(context)
    {:ok, context}
  end

  def start_service(%{service: service, source: source, dir: dir}) do
    start_supervised!({ShapeService, service: service, source: source, dir: dir, flush_ms: :infinity}, id: :service)
    :ok = ShapeService.StatusMonitor.wait_until_up(service)
  end

  def stop_service, do: stop_supervised!(:service)

  def projects, do: %Shape{table: "projects"}

  @doc "The tasks of the projects that exist."
  def project_tasks, do: %Shape{table: "tasks", column: :project, inner: projects()}

  def subscribe!(service, shape) do
    {:ok, handle} = Api.subscribe(service, shape)
    handle
  end

  @doc "Commits changes and waits until the service has handled them."
  def commit(%{service: service, source: source}, changes) do
    {:ok, lsn} = Source.commit(source, changes)
    router(service) |> :sys.get_state()
    lsn
  end

  def insert(table, key, row \\ %{}), do: {:insert, table, key, row}
  def delete(table, key, row \\ %{}), do: {:delete, table, key, row}

  def router(service), do: service |> Router.name() |> GenServer.whereis()

  def consumer(service, handle), do: Consumer.whereis(service, handle)

  @doc "Has the log of a shape written to disk."
  def flush(service, handle) do
    case consumer(service, handle) do
      nil ->
        raise "#{handle} has no consumer"

      pid ->
        send(pid, :flush)
        :sys.get_state(pid)
        :ok
    end
  end

  @doc "From now on the test receives `{:event, name, attrs, pid}`; processes stop at `held` until `release/2`."
  def trace(service, held \\ nil) do
    test = self()

    Trace.attach(service, fn name, attrs ->
      if name == held do
        # Only the first one stops here.
        Trace.detach(service)
        send(test, {:event, name, attrs, self()})
        receive do: ({:release, ^name} -> :ok)
      else
        send(test, {:event, name, attrs, self()})
      end
    end)
  end

  def release(pid, event), do: send(pid, {:release, event})
end
