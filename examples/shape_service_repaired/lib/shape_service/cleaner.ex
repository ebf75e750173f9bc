defmodule ShapeService.Cleaner do
  @moduledoc """
  Removes shapes: the route, the status entry, the consumer, the data.

  The route goes first, so that nobody looks for a shape that is half gone.
  """

  alias ShapeService.{Consumer, ConsumerRegistry, Directory, Router, ShapeStatus, Storage, Trace}

  @removed {:shutdown, :removed}

  @spec remove(ShapeService.service(), ShapeService.handle(), term()) :: :ok | {:error, :unknown | :unavailable}
  def remove(service, handle, reason \\ @removed) do
    Trace.with_span("cleaner.remove", [service: service, handle: handle], fn ->
      remove_now(service, handle, reason)
    end)
  end

  @spec remove_async(ShapeService.service(), ShapeService.handle()) :: :ok
  def remove_async(service, handle) do
    Task.Supervisor.start_child(Directory.via(service, :cleanup), fn ->
      remove(service, handle)
    end)

    :ok
  catch
    # The service is stopping; the source sends again what this log lacks.
    :exit, _reason -> :ok
  end

  @doc "What follows from a consumer's end: a crash voids the shape, an orderly end keeps it."
  @spec handle_termination(ShapeService.service(), ShapeService.handle(), term()) :: :ok
  def handle_termination(service, handle, {:shutdown, :cleanup}), do: remove_async(service, handle)

  def handle_termination(service, handle, reason) when reason in [:normal, :shutdown] do
    ConsumerRegistry.remove(service, handle)
  end

  def handle_termination(service, handle, {:shutdown, _}), do: ConsumerRegistry.remove(service, handle)

  def handle_termination(service, handle, _crash), do: remove_async(service, handle)

  defp remove_now(service, handle, reason) do
    Trace.event("cleaner.route", service: service, handle: handle)

    with {:ok, _lsn} <- Router.remove_shape(service, handle),
         :ok <- ShapeStatus.remove(service, handle),
         :ok <- Consumer.stop(service, handle, reason),
         :ok <- ConsumerRegistry.remove(service, handle),
         :ok <- Storage.cleanup(service, handle) do
      Trace.event("cleaner.removed", service: service, handle: handle)
    end
  end
end
