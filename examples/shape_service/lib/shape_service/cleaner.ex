defmodule ShapeService.Cleaner do
  @moduledoc "Removes shapes: the status entry, the consumer, the data, the route."

  alias ShapeService.{Consumer, ConsumerRegistry, Directory, Router, ShapeStatus, Storage, Trace}

  @removed {:shutdown, :removed}

  @spec remove(ShapeService.service(), ShapeService.handle(), term()) :: :ok | {:error, :unknown}
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
    case ShapeStatus.remove(service, handle) do
      :ok ->
        with :ok <- Consumer.stop(service, handle, reason),
             :ok <- Storage.cleanup(service, handle),
             :ok <- Trace.event("cleaner.route", service: service, handle: handle),
             :ok <- Router.remove_shape(service, handle) do
          Trace.event("cleaner.removed", service: service, handle: handle)
        end

      {:error, :unknown} = error ->
        error
    end
  end
end
