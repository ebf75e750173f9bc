defmodule Racefree.Cargo.Echo do
  # Shows each line on the error output as soon as it is there, and keeps all of them.
  @moduledoc false

  defstruct shown: [], rest: ""

  def add(%__MODULE__{} = echo, bytes) do
    # Whole lines only: a piece may end inside a character.
    case (echo.rest <> bytes) |> :binary.matches("\n") |> List.last() do
      nil -> %{echo | rest: echo.rest <> bytes}
      {at, 1} -> split(echo, echo.rest <> bytes, at + 1)
    end
  end

  defp split(echo, bytes, at) do
    rest = binary_part(bytes, at, byte_size(bytes) - at)
    show(%{echo | rest: rest}, binary_part(bytes, 0, at))
  end

  def finish(%__MODULE__{} = echo) do
    echo = show(echo, echo.rest)
    echo.shown |> Enum.reverse() |> Enum.join()
  end

  defp show(echo, ""), do: echo

  defp show(echo, lines) do
    # A linker may say anything in any encoding.
    lines =
      if String.valid?(lines), do: lines, else: :unicode.characters_to_binary(lines, :latin1)

    IO.write(:stderr, lines)
    %{echo | shown: [lines | echo.shown]}
  end

  defimpl Collectable do
    def into(echo) do
      {echo,
       fn
         echo, {:cont, bytes} -> Racefree.Cargo.Echo.add(echo, bytes)
         echo, :done -> Racefree.Cargo.Echo.finish(echo)
         _echo, :halt -> :ok
       end}
    end
  end
end
